//! Sentences and numbers of the page. They say what the numbers carry, and no more.

use crate::dataset::classes;
use crate::models::{self, Library, ModelEntry};
use crate::report::Run;
use crate::report::compare::{Disagreement, disagreement, recall_gains};
use crate::report::figures::thousands;

/// A difference, with its sign; `digits` behind the point.
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let zero = text.chars().all(|c| "0.".contains(c));
    let sign = if zero { "" } else { if value < 0.0 { "−" } else { "+" } };
    format!("{sign}{text}")
}

/// A probability, never rounded to impossible or certain.
pub fn probability(value: f64) -> String {
    match value {
        ..0.0005 => "<0.001".into(),
        0.9995.. => ">0.999".into(),
        _ => format!("{value:.3}"),
    }
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn accuracy(run: &Run) -> f64 {
    run.matrix.report().accuracy
}

/// `A`, `A and B`, `A, B and C`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The runs of the paper's two models, the MLP's first, if there are these two and the test images are the
/// same.
pub fn paper_pair<'a>(runs: &[&'a Run]) -> Option<[(usize, &'a Run); 2]> {
    let [a, b] = runs else { return None };
    let [first, second] = models::paper_pair()?;
    let pair = match [a.model, b.model] {
        both if both == [first, second] => [(0, *a), (1, *b)],
        both if both == [second, first] => [(1, *b), (0, *a)],
        _ => return None,
    };
    (a.truth == b.truth).then_some(pair)
}

/// Two runs that were asked the same.
pub fn pair<'a>(runs: &[&'a Run]) -> Option<[(usize, &'a Run); 2]> {
    match runs {
        [a, b] if a.truth == b.truth => paper_pair(runs).or(Some([(0, *a), (1, *b)])),
        _ => None,
    }
}

/// Above everything.
pub fn heading(runs: &[&Run], names: &[String]) -> String {
    match (paper_pair(runs), runs) {
        (Some([(first, _), (second, _)]), _) => {
            format!("Fashion-MNIST: {} against {}", names[first], names[second])
        }
        (None, [_]) => format!("Fashion-MNIST: {}", names[0]),
        (None, _) => format!("Fashion-MNIST: {} runs", runs.len()),
    }
}

/// The result in a sentence.
pub fn lead(runs: &[&Run], names: &[String]) -> String {
    let here = |(run, name): (&&Run, &String)| {
        format!("{} recognizes {}", spoken(run, name), percent(accuracy(run)))
    };
    let here: Vec<String> = runs.iter().zip(names).map(here).collect();
    let all = runs.iter().all(|run| run.model.paper.is_some());
    let there = |(run, name): (&&Run, &String)| {
        let accuracy = percent(run.model.paper_accuracy()?);
        Some(if all { accuracy } else { format!("{accuracy} for {}", spoken(run, name)) })
    };
    let there: Vec<String> = runs.iter().zip(names).filter_map(there).collect();
    let there = match there.is_empty() {
        true => String::new(),
        false => format!(" The paper reports {}.", list(&there)),
    };
    format!("{} of the test images.{there}", sentence(&list(&here)))
}

/// The model in a sentence.
fn spoken(run: &Run, name: &str) -> String {
    format!("{}{name}", run.model.article)
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// What is asked.
pub fn question(runs: &[&Run], names: &[String]) -> String {
    let task = "Pictures of clothes, 28×28 gray pixels, are to be told apart in ten classes";
    match (paper_pair(runs), runs) {
        (Some(_), _) => format!(
            "{task}. Is a small convolutional network, LeNet-5, better at it than a plain multilayer \
             perceptron (MLP), which knows nothing of images? The paper trains both on Fashion-MNIST and \
             compares their accuracy on test images that neither has learned from."
        ),
        (None, [run]) => format!(
            "{task}. How many does {} recognize that it has not learned from?",
            spoken(run, &names[0])
        ),
        (None, _) => format!("{task}. Which of these {} runs is best at it?", runs.len()),
    }
}

/// What came out.
pub fn result(runs: &[&Run], names: &[String]) -> Vec<String> {
    let counted = |(run, name): (&&Run, &String)| {
        let [correct, total] = [run.matrix.correct(), run.matrix.total()].map(thousands);
        let name = spoken(run, name);
        format!("{name} is right on {correct} of {total} test images ({:.4})", accuracy(run))
    };
    let counted: Vec<String> = runs.iter().zip(names).map(counted).collect();
    let mut paragraphs = vec![format!("{}.", sentence(&list(&counted)))];
    if let Some([(first, a), (second, b)]) = pair(runs) {
        let (first, second) = (spoken(a, &names[first]), spoken(b, &names[second]));
        paragraphs[0] += &format!(" {}", ahead([(&first, a), (&second, b)]));
        let counts = disagreement(&a.truth, &a.predicted, &b.predicted);
        paragraphs.push(paired([&first, &second], counts));
    }
    paragraphs
        .extend(runs.iter().zip(names).filter_map(|(run, name)| against_the_paper(run, name)));
    paragraphs
}

/// Which of two is ahead.
fn ahead(runs: [(&str, &Run); 2]) -> String {
    let [(first, a), (second, b)] = runs;
    let difference = accuracy(b) - accuracy(a);
    match b.matrix.correct().cmp(&a.matrix.correct()) {
        std::cmp::Ordering::Equal => "That is the same number.".into(),
        std::cmp::Ordering::Greater => sentence(&format!("{second} is ahead by {difference:.4}.")),
        std::cmp::Ordering::Less => sentence(&format!("{first} is ahead by {:.4}.", -difference)),
    }
}

/// The images on which two differ.
fn paired([first, second]: [&str; 2], counts: Disagreement) -> String {
    let [only_first, only_second] = [counts.first, counts.second].map(thousands);
    let p = match counts.p {
        ..0.0001 => "less than 0.0001".into(),
        p => format!("{p:.4}"),
    };
    format!(
        "Only {second} is right on {only_second} images, only {first} on {only_first}. If each of \
         these were as likely to be won by either, a split at least as uneven would come up with a \
         probability of {p} (McNemar's exact test). This is about these two trainings alone: one run \
         and one seed each say nothing of how other seeds would end."
    )
}

/// How a run's settings and accuracy compare with the paper's, of a model that is in the paper.
fn against_the_paper(run: &Run, name: &str) -> Option<String> {
    let (config, paper) = (&run.config.settings, run.model.paper?);
    let notebook = run.model.config();
    let mut others = Vec::new();
    let mut differs = |what: &str, here: String, there: String| {
        if here != there {
            others.push(format!("{what} {here} instead of {there}"));
        }
    };
    differs("epochs", config.epochs.to_string(), notebook.epochs.to_string());
    if paper.settings_given {
        differs("batch size", config.batch_size.to_string(), notebook.batch_size.to_string());
        differs("learning rate", config.lr.to_string(), notebook.lr.to_string());
        differs("seed", config.seed.to_string(), notebook.seed.to_string());
    }
    let difference = signed(accuracy(run) - paper.accuracy, 4);
    let there = paper.accuracy;
    let mut text = format!("{name} against the paper's {there:.4}: a difference of {difference}.");
    if !others.is_empty() {
        text += &format!(" It was not trained with the paper's settings: {}.", list(&others));
    }
    let ModelEntry { title, article, defaults, .. } = run.model;
    text += &match paper.settings_given {
        true if others.is_empty() => format!(
            " The paper gives {article}{title}'s settings in full, and this run has them, so its \
             accuracy should be met exactly."
        ),
        true => String::new(),
        false => format!(
            " For {article}{title} the paper gives {} epochs and Adam, but neither batch size nor \
             learning rate nor seed. They are {}, {} and {} here, and the accuracy depends on them.",
            defaults.epochs, config.batch_size, config.lr, config.seed
        ),
    };
    Some(text)
}

/// Reasons that the models' structure gives, and what the numbers show of them.
pub fn why(runs: &[&Run], names: &[String]) -> Vec<String> {
    let mut paragraphs = Vec::new();
    if let Some([(_, mlp), (_, lenet5)]) = paper_pair(runs) {
        let [mlp, lenet5] = [mlp, lenet5].map(|run| thousands(run.model.parameter_count()));
        paragraphs.push(format!(
            "The MLP gets an image as a row of 784 numbers: nothing tells it which pixels are \
             neighbors. LeNet-5 slides small filters over the image, so a pattern is found with the \
             same few weights wherever it lies, and pooling makes its exact place matter less. The two \
             are of one size, {mlp} parameters and {lenet5}; what differs is how they are connected, \
             and for how long each was trained."
        ));
    }
    if let Some([(first, a), (second, b)]) = pair(runs) {
        paragraphs.push(gains([&spoken(a, &names[first]), &spoken(b, &names[second])], [a, b]));
    }
    let confusion = |(run, name): (&&Run, &String)| {
        let pair = *run.matrix.most_confused(1).first()?;
        let [truth, predicted] = [pair.truth, pair.predicted].map(|class| classes::NAMES[class]);
        let count = thousands(pair.count);
        Some(format!("{truth} taken for {predicted} by {} ({count} images)", spoken(run, name)))
    };
    let confusions: Vec<String> = runs.iter().zip(names).filter_map(confusion).collect();
    if !confusions.is_empty() {
        paragraphs.push(format!("The most frequent confusion: {}.", list(&confusions)));
    }
    paragraphs
}

/// In which classes the second of two recognizes more, and less.
fn gains([first, second]: [&str; 2], [a, b]: [&Run; 2]) -> String {
    let gains = recall_gains(&a.matrix, &b.matrix);
    let side = |sign: f64| {
        let of_side = |&class: &usize| gains[class] * sign > 0.0;
        let classes: Vec<usize> = (0..gains.len()).filter(of_side).collect();
        let by_gain = |x: &usize, y: &usize| (gains[*x] * sign).total_cmp(&(gains[*y] * sign));
        let most = classes.iter().copied().max_by(by_gain);
        let most = most.map(|class| {
            format!(", most of all of {} ({})", classes::NAMES[class], signed(gains[class], 3))
        });
        (classes.len(), most.unwrap_or_default())
    };
    let ((more, most), (less, least)) = (side(1.0), side(-1.0));
    format!(
        "Class by class, {second} recognizes a greater share than {first} of {more} of the ten classes\
         {most}, and a smaller share of {less}{least}."
    )
}

/// What the model is.
pub fn description(model: &ModelEntry) -> String {
    let parameters = thousands(model.parameter_count());
    format!("{}; {parameters} parameters in {}.", model.structure, model.dtype)
}

/// How the losses went.
pub fn losses(run: &Run) -> String {
    let epochs = run.curves.loss.len();
    let mut text = match run.curves.loss.as_slice() {
        [] => String::new(),
        [only] => format!("The mean training loss of the one epoch is {only:.4}."),
        [first, .., last] => format!(
            "The mean training loss is {first:.4} in the first epoch and {last:.4} in the last, the \
             {epochs}{}.",
            ordinal(epochs)
        ),
    };
    if let Some(last) = run.curves.val_loss.as_ref().and_then(|values| values.last()) {
        text += &format!(" On the held-out images it ends at {last:.4}.");
    }
    if run.model.library == Library::ScikitLearn {
        text += " It is scikit-learn's, which adds a small penalty for large weights, so it cannot be \
                 compared with the loss of a PyTorch model.";
    }
    text
}

fn ordinal(n: usize) -> &'static str {
    match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::{list, ordinal, probability, signed};

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0.0184, -0.0184, -0.00001].map(|x| signed(x, 4)),
            ["+0.0184", "−0.0184", "0.0000"]
        );
        assert_eq!([0.0, 0.5, 0.9999].map(probability), ["<0.001", "0.500", ">0.999"]);
        assert_eq!(
            [1, 2, 3, 5, 11, 112, 23].map(ordinal),
            ["st", "nd", "rd", "th", "th", "th", "rd"]
        );
        assert_eq!(list(&["a", "b", "c"].map(String::from)), "a, b and c");
    }
}
