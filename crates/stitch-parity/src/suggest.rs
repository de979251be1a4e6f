//! Proposes a map: pairs the tensors of both sides that have other names or layouts, by shape, contents and name.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;

use tensor_files::Glob;

use crate::closest::{canonical, fits, similarity};
use crate::error::SideError;
use crate::fuse::{self, Fusion};
use crate::rule::permuted;
use crate::side::{Item, Side};
use crate::verify;

/// Number of records of a name whose contents are compared.
pub(crate) const RECORDS: usize = 16;

/// Dimension orders that are tried, besides the unchanged one: transposed; conv kernels of TensorFlow and JAX (WIO,
/// HWIO, of depthwise layers HWCM) as PyTorch's and back; NHWC as NCHW and back.
const ORDERS: [&[usize]; 8] = [
    &[1, 0],
    &[2, 1, 0],
    &[3, 2, 0, 1],
    &[2, 3, 1, 0],
    &[2, 3, 0, 1],
    &[0, 3, 1, 2],
    &[0, 2, 3, 1],
    &[0, 2, 1],
];

/// A proposed [`Map`](crate::Map), with comments. `Display` writes it as TOML.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    rules: Vec<Proposal>,
    fusions: Vec<Fusion>,
    /// Names without a counterpart, of the reference and of the candidate.
    unpaired: [Vec<String>; 2],
}

#[derive(Debug, Clone, PartialEq)]
struct Proposal {
    /// Names of the candidate and of the reference.
    names: [String; 2],
    layout: Layout,
    /// dtypes of the candidate and of the reference, if they differ.
    dtypes: Option<[String; 2]>,
    reason: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Layout {
    Same,
    Order(&'static [usize]),
    Reshape(Vec<usize>),
}

/// Proposes rules for the tensors of `candidate` that have another name or layout in `reference`. Names are paired if
/// their shapes agree in some layout: first those with equal contents, then the most similar names, in order.
///
/// # Errors
/// [`SideError`] when elements cannot be read.
pub fn suggest(reference: &mut Side, candidate: &mut Side) -> Result<Suggestion, SideError> {
    let names = [named(reference, candidate), named(candidate, reference)];
    let [known, owned] = names.each_ref().map(|names| -> HashMap<&str, usize> {
        names.iter().enumerate().map(|(i, named)| (&*named.name, i)).collect()
    });
    let mut matcher = Matcher { sides: [reference, candidate], hashes: HashMap::new() };
    let mut free: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
    let mut pairs = Vec::new();
    let mut taken = HashSet::new();
    for (i, actual) in names[1].iter().enumerate() {
        let same = known.get(&*actual.name).copied();
        let matched = match same {
            Some(same) => matcher.matched(&names[0][same], actual)?,
            None => None,
        };
        match same.zip(matched) {
            Some((same, matched)) => {
                taken.insert(same);
                pairs.push(([same, i], matched));
            }
            None => free[1].push(i),
        }
    }
    // A rule cannot give a tensor the name of another one that keeps it.
    let is_free = |i: &usize| !taken.contains(i) && !owned.contains_key(&*names[0][*i].name);
    free[0] = (0..names[0].len()).filter(is_free).collect();
    pairs.extend(matcher.pair(&names, &free)?);
    pairs.sort_by_key(|([_, actual], _)| *actual);
    let left = [0, 1].map(|side| -> Vec<&Named> {
        let is_paired = |i: usize| pairs.iter().any(|(pair, _)| pair[side] == i);
        (0..names[side].len()).filter(|&i| !is_paired(i)).map(|i| &names[side][i]).collect()
    });
    let fusions = fuse::fusions(&mut matcher.sides, left.each_ref().map(|names| &names[..]))?;
    let unpaired = [0, 1].map(|side| {
        let is_fused = |name: &String| {
            fusions
                .iter()
                .any(|it| if it.side == side { it.whole == *name } else { it.parts.contains(name) })
        };
        let names = left[side].iter().map(|named| named.name.clone());
        let mut names: Vec<String> = names.filter(|name| !is_fused(name)).collect();
        names.sort();
        names
    });
    let rules = pairs.into_iter().filter_map(|([expected, actual], matched)| {
        let [expected, actual] = [&names[0][expected], &names[1][actual]];
        let changes = expected.name != actual.name || matched.layout != Layout::Same;
        changes.then(|| Proposal {
            names: [actual, expected].map(|named| named.name.clone()),
            reason: reason(matched.equal, matched.compared, matched.ambiguous),
            layout: matched.layout,
            dtypes: matched.dtypes,
        })
    });
    Ok(Suggestion { rules: rules.collect(), fusions, unpaired })
}

/// Where a record is: all of its key but the name.
pub(crate) type Place = (String, Option<usize>, Option<usize>, Option<String>);

/// A name of one side, and the positions of its tensors.
pub(crate) struct Named {
    pub name: String,
    canonical: String,
    pub items: Vec<(Place, usize)>,
    pub places: HashMap<Place, usize>,
}

/// The names of a side in their order, with their tensors of the stages that the other side has too.
fn named(side: &Side, other: &Side) -> Vec<Named> {
    let stages: HashSet<&str> = other.items.iter().map(|item| &*item.key.stage).collect();
    let mut all: Vec<Named> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (i, Item { key, .. }) in side.items.iter().enumerate() {
        if stages.contains(&*key.stage) {
            let position = *positions.entry(&key.name).or_insert_with(|| {
                let (name, canonical) = (key.name.clone(), canonical(&key.name));
                all.push(Named { name, canonical, items: Vec::new(), places: HashMap::new() });
                all.len() - 1
            });
            let place = (key.stage.clone(), key.epoch, key.step, key.file.clone());
            all[position].places.insert(place.clone(), i);
            all[position].items.push((place, i));
        }
    }
    all
}

/// How well a name of one side fits one of the other.
struct Matched {
    layout: Layout,
    /// Number of records with equal contents in this layout, and of those that were compared.
    equal: usize,
    compared: usize,
    /// Whether the shape fits another layout as well.
    ambiguous: bool,
    dtypes: Option<[String; 2]>,
}

/// Why tensors are paired, of which that many records are equal.
pub(crate) fn reason(equal: usize, compared: usize, ambiguous: bool) -> String {
    match () {
        () if equal > 0 && equal == compared => "equal contents".into(),
        () if equal > 0 => format!("equal contents in {equal} of {compared} records: check it"),
        () if ambiguous => {
            "by shape and name alone, and another layout has this shape: check it".into()
        }
        () => "by shape and name alone: check it".into(),
    }
}

/// Finds the layout in which tensors of both sides agree.
struct Matcher<'a> {
    sides: [&'a mut Side; 2],
    /// SHA-256 of a side's tensor in a dimension order; `None` if its elements are unknown.
    hashes: HashMap<(usize, usize, &'static [usize]), Option<String>>,
}

impl Matcher<'_> {
    /// The best pairs of the free names; each name is in at most one.
    fn pair(
        &mut self,
        names: &[Vec<Named>; 2],
        free: &[Vec<usize>; 2],
    ) -> Result<Vec<([usize; 2], Matched)>, SideError> {
        let mut all = Vec::new();
        for (n, &i) in free[0].iter().enumerate() {
            for (m, &j) in free[1].iter().enumerate() {
                let (expected, actual) = (&names[0][i], &names[1][j]);
                if let Some(matched) = self.matched(expected, actual)? {
                    let similarity = similarity(&expected.canonical, &actual.canonical);
                    all.push(([i, j], similarity, n.abs_diff(m), matched));
                }
            }
        }
        let exact = |matched: &Matched| matched.equal > 0 && matched.equal == matched.compared;
        all.sort_by(
            |(pair, one, distance, matched), (other_pair, other, other_distance, other_matched)| {
                (exact(other_matched), other_matched.equal)
                    .cmp(&(exact(matched), matched.equal))
                    .then(other.total_cmp(one))
                    .then(distance.cmp(other_distance))
                    .then(pair.cmp(other_pair))
            },
        );
        let (mut taken, mut pairs) = ([HashSet::new(), HashSet::new()], Vec::new());
        for (pair, .., matched) in all {
            if !taken[0].contains(&pair[0]) && taken[1].insert(pair[1]) {
                taken[0].insert(pair[0]);
                pairs.push((pair, matched));
            }
        }
        Ok(pairs)
    }

    /// The layout in which most records of two names have equal contents; `None` if the shapes fit in none.
    fn matched(&mut self, expected: &Named, actual: &Named) -> Result<Option<Matched>, SideError> {
        let mut common = actual
            .items
            .iter()
            .filter_map(|(at, i)| Some([*expected.places.get(at)?, *i]))
            .peekable();
        let Some(&first) = common.peek() else { return Ok(None) };
        // Most names are told apart by this.
        let [one, other] = self.items(first).map(|item| &item.shape);
        if !fits(one, other) {
            return Ok(None);
        }
        let common: Vec<[usize; 2]> = common.collect();
        // The optimizer's count of the steps is equal in all parameters.
        let is_scalar = |pair: &[usize; 2]| self.items(*pair)[0].shape.is_empty();
        let mut telling: Vec<[usize; 2]> =
            common.iter().copied().filter(|pair| !is_scalar(pair)).collect();
        if telling.is_empty() {
            telling.clone_from(&common);
        }
        let mut best: Option<Matched> = None;
        for layout in self.layouts(&common) {
            let (mut equal, mut compared) = (0, 0);
            for &pair in telling.iter().take(RECORDS) {
                if let Some(is_equal) = self.is_equal(pair, &layout)? {
                    equal += usize::from(is_equal);
                    compared += 1;
                }
            }
            if equal == 0 && !self.is_usual(telling[0], &layout) {
                continue;
            }
            let matched = Matched { layout, equal, compared, ambiguous: false, dtypes: None };
            // Of layouts with equally many equal records, that with the fewest different ones.
            let rank = |of: &Matched| (of.equal, Reverse(of.compared - of.equal));
            match &mut best {
                Some(best) if rank(best) > rank(&matched) => {}
                Some(best) if rank(best) == rank(&matched) => best.ambiguous = true,
                Some(best) => *best = Matched { ambiguous: equal == 0, ..matched },
                None => best = Some(matched),
            }
        }
        let [one, other] = self.items(first).map(|item| item.dtype.clone());
        Ok(best.map(|best| Matched { dtypes: (one != other).then_some([other, one]), ..best }))
    }

    fn items(&self, [expected, actual]: [usize; 2]) -> [&Item; 2] {
        [&self.sides[0].items[expected], &self.sides[1].items[actual]]
    }

    /// The layouts in which the shapes of all these pairs agree.
    fn layouts(&self, pairs: &[[usize; 2]]) -> Vec<Layout> {
        let fit = |fits: &dyn Fn(&[usize], &[usize]) -> bool| {
            pairs.iter().all(|&pair| {
                let [expected, actual] = self.items(pair).map(|item| &*item.shape);
                // Rules do not change scalars.
                (expected.is_empty() && actual.is_empty()) || fits(expected, actual)
            })
        };
        let ordered = |order: &'static [usize]| {
            fit(&|expected, actual| {
                let permuted = order.iter().map(|&axis| actual.get(axis));
                actual.len() == order.len() && permuted.eq(expected.iter().map(Some))
            })
        };
        let mut layouts = Vec::new();
        if fit(&|expected, actual| expected == actual) {
            layouts.push(Layout::Same);
        }
        layouts.extend(ORDERS.into_iter().filter(|order| ordered(order)).map(Layout::Order));
        let is_scalar =
            |side: usize| pairs.iter().all(|&pair| self.items(pair)[side].shape.is_empty());
        if is_scalar(0) && !is_scalar(1) && fit(&fits) {
            layouts.push(Layout::Reshape(Vec::new()));
        }
        let shapes = pairs.iter().map(|&pair| &self.items(pair)[0].shape);
        if let Some(to) = shapes.into_iter().find(|shape| !shape.is_empty())
            && !layouts.contains(&Layout::Same)
            && fit(&|expected, actual| expected == to && fits(to, actual))
        {
            layouts.push(Layout::Reshape(to.clone()));
        }
        layouts
    }

    /// Whether a layout is proposed without equal contents: any order, and a reshape that flattens, adds or removes
    /// dimensions of size 1, or keeps the first one.
    fn is_usual(&self, pair: [usize; 2], layout: &Layout) -> bool {
        let [expected, actual] = self.items(pair).map(|item| &item.shape);
        let squeezed =
            |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        match layout {
            Layout::Reshape(_) => {
                expected.len().min(actual.len()) <= 1
                    || expected[0] == actual[0]
                    || squeezed(expected) == squeezed(actual)
            }
            _ => true,
        }
    }

    /// Whether two tensors have equal bits in a layout; `None` if those of one are unknown.
    fn is_equal(&mut self, pair: [usize; 2], layout: &Layout) -> Result<Option<bool>, SideError> {
        let [expected, actual] = self.items(pair);
        let same_dtype = expected.dtype == actual.dtype;
        let order: &[usize] = match layout {
            Layout::Order(order) if !actual.shape.is_empty() => order,
            _ => &[],
        };
        let hashes = self.hash(0, pair[0], &[])?.zip(self.hash(1, pair[1], order)?);
        Ok(hashes.map(|(one, other)| same_dtype && one == other))
    }

    /// The SHA-256 of a tensor in a dimension order; an empty order leaves it unchanged.
    fn hash(
        &mut self,
        side: usize,
        i: usize,
        order: &'static [usize],
    ) -> Result<Option<String>, SideError> {
        if let Some(hash) = self.hashes.get(&(side, i, order)) {
            return Ok(hash.clone());
        }
        let mut item = self.sides[side].items[i].clone();
        if !order.is_empty() {
            item = permuted(item, order.to_vec());
        }
        let hash = verify::comparable(self.sides[side], &item)?;
        self.hashes.insert((side, i, order), hash.clone());
        Ok(hash)
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        if self.rules.is_empty() && self.fusions.is_empty() {
            writeln!(to, "# No rules: no tensor with another name or layout has a counterpart.")?;
        }
        for Proposal { names: [name, new_name], layout, dtypes, reason } in &self.rules {
            writeln!(to, "[[rule]] # {reason}\nmatch = {}", quoted(&Glob::escape(name)))?;
            if name != new_name {
                writeln!(to, "name = {}", quoted(&Glob::escape(new_name)))?;
            }
            match layout {
                Layout::Same => {}
                Layout::Order([1, 0]) => writeln!(to, "transpose = true")?,
                Layout::Order(order) => writeln!(to, "permute = {order:?}")?,
                Layout::Reshape(shape) => writeln!(to, "reshape = {shape:?}")?,
            }
            if let Some([from, into]) = dtypes {
                let [from, into] = [quoted(from), quoted(into)];
                writeln!(to, "# dtype = {into} # the candidate has {from}: converts it")?;
            }
            writeln!(to)?;
        }
        for Fusion { side, whole, parts, reason } in &self.fusions {
            let parts =
                parts.iter().map(|name| quoted(&Glob::escape(name))).collect::<Vec<_>>().join(", ");
            let whole = quoted(&Glob::escape(whole));
            match side {
                0 => writeln!(to, "[[rule]] # {reason}\nmerge = [{parts}]\nname = {whole}\n")?,
                _ => writeln!(
                    to,
                    "[[rule]] # {reason}\nmatch = {whole}\nsplit = {{ names = [{parts}] }}\n"
                )?,
            }
        }
        for (side, names) in ["reference", "candidate"].into_iter().zip(&self.unpaired) {
            for name in names {
                writeln!(to, "# only in the {side}: {}", quoted(name))?;
            }
        }
        Ok(())
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\\' => format!("\\{character}"),
        control if control.is_control() => format!("\\u{:04x}", control as u32),
        other => other.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
