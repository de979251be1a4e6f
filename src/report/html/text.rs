//! The sentences of a report, from the numbers of its runs.

use crate::dataset::classes::Classes;
use crate::models::{self, Library, ModelEntry, ModelOptions};
use crate::report::Run;
use crate::report::compare::{Disagreement, disagreement, recall_gains};
use crate::report::figures::thousands;

/// Formats a difference with its sign and `digits` decimals.
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let zero = text.chars().all(|c| "0.".contains(c));
    let sign = if zero { "" } else { if value < 0.0 { "−" } else { "+" } };
    format!("{sign}{text}")
}

/// Formats a probability, never rounded to 0 or 1.
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

/// Joins items: `A`, `A and B`, `A, B and C`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The runs of the paper's two models, the MLP first, with their positions, if each has one run, with the same test
/// images of Fashion-MNIST, and all other runs are of models that are not in the paper.
pub fn paper_pair<'a>(runs: &[&'a Run]) -> Option<[(usize, &'a Run); 2]> {
    let of_the_paper = || runs.iter().copied().enumerate().filter(|(_, run)| run.paper().is_some());
    let of = |model| of_the_paper().find(|(_, run)| run.model == model);
    let [first, second] = models::paper_pair()?.map(of);
    let [a, b] = [first?, second?];
    (of_the_paper().count() == 2 && a.1.truth == b.1.truth).then_some([a, b])
}

/// The runs of the paper's two models, or the only two runs, with the same test images.
pub fn pair<'a>(runs: &[&'a Run]) -> Option<[(usize, &'a Run); 2]> {
    let only = || match runs {
        [a, b] if a.truth == b.truth => Some([(0, *a), (1, *b)]),
        _ => None,
    };
    paper_pair(runs).or_else(only)
}

/// The title of the report.
pub fn heading(runs: &[&Run], names: &[String]) -> String {
    match (paper_pair(runs), runs) {
        (Some([(first, _), (second, _)]), _) => {
            let both = format!("{} against {}", names[first], names[second]);
            let others = (0..names.len()).filter(|&i| i != first && i != second);
            let others: Vec<String> = others.map(|i| names[i].clone()).collect();
            match others.is_empty() {
                true => format!("Fashion-MNIST: {both}"),
                false => format!("Fashion-MNIST: {both}, and {}", list(&others)),
            }
        }
        (None, [_]) => format!("{}{}", data_set(runs), names[0]),
        (None, _) => format!("{}{} runs", data_set(runs), runs.len()),
    }
}

/// The name of the data set before a title, if all runs have its classes.
fn data_set(runs: &[&Run]) -> &'static str {
    let is_known = runs.iter().all(|run| run.classes == Classes::fashion_mnist());
    if is_known { "Fashion-MNIST: " } else { "" }
}

/// The result in one or two sentences.
pub fn lead(runs: &[&Run], names: &[String]) -> String {
    let here = |(run, name): (&&Run, &String)| {
        format!("{} classifies {}", with_article(run, name), percent(accuracy(run)))
    };
    let here: Vec<String> = runs.iter().zip(names).map(here).collect();
    let all = runs.iter().all(|run| run.paper().is_some());
    let there = |(run, name): (&&Run, &String)| {
        let accuracy = percent(run.paper()?.accuracy);
        Some(if all { accuracy } else { format!("{accuracy} for {}", with_article(run, name)) })
    };
    let mut there: Vec<String> = runs.iter().zip(names).filter_map(there).collect();
    // Once for several runs of one model.
    there.dedup();
    let there = match there.is_empty() {
        true => String::new(),
        false => format!(" The paper reports {}.", list(&there)),
    };
    format!("{} of the test images correctly.{there}", sentence(&list(&here)))
}

/// The name of a run with the article of its model.
fn with_article(run: &Run, name: &str) -> String {
    format!("{}{name}", run.model.article)
}

/// Capitalizes the first letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The question of the comparison.
pub fn question(runs: &[&Run], names: &[String]) -> String {
    let task = match (data_set(runs), runs) {
        ("", [run]) => format!("The task is to classify images into {} classes", run.classes.len()),
        ("", _) => "The task is to classify images".into(),
        _ => "The task is to classify 28×28 gray images of clothes into ten classes".into(),
    };
    match (paper_pair(runs), runs) {
        (Some(_), _) => format!(
            "{task}. Is a small convolutional network, LeNet-5, more accurate than a multilayer perceptron (MLP), \
             which does not use the image structure? The paper trains both on Fashion-MNIST and compares their \
             accuracy on the test images."
        ),
        (None, [run]) => format!(
            "{task}. How many of the test images does {} classify correctly?",
            with_article(run, &names[0])
        ),
        (None, _) => format!("{task}. Which of these {} runs is the most accurate?", runs.len()),
    }
}

/// The results, as paragraphs.
pub fn result(runs: &[&Run], names: &[String]) -> Vec<String> {
    let counted = |(run, name): (&&Run, &String)| {
        let [correct, total] = [run.matrix.correct(), run.matrix.total()].map(thousands);
        let name = with_article(run, name);
        format!(
            "{name} classifies {correct} of {total} test images correctly ({:.4})",
            accuracy(run)
        )
    };
    let counted: Vec<String> = runs.iter().zip(names).map(counted).collect();
    let mut paragraphs = vec![format!("{}.", sentence(&list(&counted)))];
    if let Some([(first, a), (second, b)]) = pair(runs) {
        let (first, second) = (with_article(a, &names[first]), with_article(b, &names[second]));
        paragraphs[0] += &format!(" {}", ahead([(&first, a), (&second, b)]));
        let counts = disagreement(&a.truth, &a.predicted, &b.predicted);
        paragraphs.push(paired([&first, &second], counts));
    }
    paragraphs
        .extend(runs.iter().zip(names).filter_map(|(run, name)| against_the_paper(run, name)));
    paragraphs
}

/// Which of two runs is more accurate.
fn ahead(runs: [(&str, &Run); 2]) -> String {
    let [(first, a), (second, b)] = runs;
    let difference = accuracy(b) - accuracy(a);
    match b.matrix.correct().cmp(&a.matrix.correct()) {
        std::cmp::Ordering::Equal => "Their accuracies are equal.".into(),
        std::cmp::Ordering::Greater => sentence(&format!("{second} is better by {difference:.4}.")),
        std::cmp::Ordering::Less => sentence(&format!("{first} is better by {:.4}.", -difference)),
    }
}

/// The images that exactly one of two runs classifies correctly, with McNemar's test.
fn paired([first, second]: [&str; 2], counts: Disagreement) -> String {
    let [only_first, only_second] = [counts.first, counts.second].map(thousands);
    let p = match counts.p {
        ..0.0001 => "p < 0.0001".into(),
        p => format!("p = {p:.4}"),
    };
    format!(
        "Only {second} is correct on {only_second} images, only {first} on {only_first}. McNemar's exact test: {p}. \
         This compares these two trained models only; it says nothing about other seeds."
    )
}

/// Compares a run's settings and accuracy with the paper's; `None` for a model that is not in the paper.
fn against_the_paper(run: &Run, name: &str) -> Option<String> {
    let (config, paper) = (&run.config.settings, run.paper()?);
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
    let mut text = format!("{name}: the difference from the paper's {there:.4} is {difference}.");
    if !others.is_empty() {
        text += &format!(" It was not trained with the paper's settings: {}.", list(&others));
    }
    let ModelEntry { title, article, defaults, .. } = run.model;
    text += &match paper.settings_given {
        true if others.is_empty() => format!(
            " The paper gives all settings of {article}{title}, and this run has them, so the accuracies should be \
             equal."
        ),
        true => String::new(),
        false => format!(
            " For {article}{title} the paper gives {} epochs and Adam, but no batch size, learning rate or seed. \
             Here they are {}, {} and {}; the accuracy depends on them.",
            defaults.epochs, config.batch_size, config.lr, config.seed
        ),
    };
    Some(text)
}

/// Reasons for the result, as paragraphs.
pub fn why(runs: &[&Run], names: &[String]) -> Vec<String> {
    let mut paragraphs = Vec::new();
    if let Some([(_, mlp), (_, lenet5)]) = paper_pair(runs) {
        let [mlp, lenet5] = [mlp, lenet5].map(|run| thousands(run.parameters().unwrap_or(0)));
        paragraphs.push(format!(
            "The input of the MLP is a vector of 784 numbers, without information on which pixels are neighbors. \
             LeNet-5 applies small filters to the whole image, so it detects a pattern at any position with the \
             same weights, and pooling reduces the effect of the exact position. The models have about the same \
             size ({mlp} and {lenet5} parameters); they differ in structure and in the number of epochs."
        ));
    }
    if let Some([(first, a), (second, b)]) = pair(runs)
        && a.classes == b.classes
    {
        paragraphs.push(gains(
            [&with_article(a, &names[first]), &with_article(b, &names[second])],
            [a, b],
        ));
    }
    let confusion = |(run, name): (&&Run, &String)| {
        let pair = *run.matrix.most_confused(1).first()?;
        let [truth, predicted] = [pair.truth, pair.predicted].map(|class| run.classes.name(class));
        let count = thousands(pair.count);
        Some(format!(
            "{truth} predicted as {predicted} by {} ({count} images)",
            with_article(run, name)
        ))
    };
    let confusions: Vec<String> = runs.iter().zip(names).filter_map(confusion).collect();
    if !confusions.is_empty() {
        paragraphs.push(format!("Most frequent confusion: {}.", list(&confusions)));
    }
    paragraphs
}

/// In how many classes the second of two runs has a higher or lower recall.
fn gains([first, second]: [&str; 2], [a, b]: [&Run; 2]) -> String {
    let gains = recall_gains(&a.matrix, &b.matrix);
    let side = |sign: f64| {
        let of_side = |&class: &usize| gains[class] * sign > 0.0;
        let classes: Vec<usize> = (0..gains.len()).filter(of_side).collect();
        let by_gain = |x: &usize, y: &usize| (gains[*x] * sign).total_cmp(&(gains[*y] * sign));
        let most = classes.iter().copied().max_by(by_gain);
        let most = most.map(|class| {
            format!(" (most for {}, {})", a.classes.name(class), signed(gains[class], 3))
        });
        (classes.len(), most.unwrap_or_default())
    };
    let ((more, most), (less, least)) = (side(1.0), side(-1.0));
    format!(
        "The recall of {second} is higher than that of {first} in {more} of the {} classes{most}, and lower in \
         {less}{least}.",
        if gains.len() == 10 { "ten".into() } else { gains.len().to_string() }
    )
}

/// The description of a run's network.
pub fn description(run: &Run) -> String {
    let ModelEntry { structure, dtype, .. } = run.model;
    let ModelOptions { batch_norm, dropout, .. } = run.options();
    let norm = if batch_norm { "; batch normalization after each convolution" } else { "" };
    let dropout = match dropout {
        0.0 => String::new(),
        p => format!("; dropout of {p} before the last layer"),
    };
    match run.parameters() {
        Some(count) => {
            format!("{structure}{norm}{dropout}; {} parameters in {dtype}.", thousands(count))
        }
        None => format!("{structure}, {}.", run.model.name),
    }
}

/// The losses, as a paragraph.
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
        text += &format!(" The last validation loss is {last:.4}.");
    }
    if run.model.library == Library::ScikitLearn {
        text += " scikit-learn's loss includes an L2 penalty, so it is not comparable with the loss of a PyTorch \
                 model.";
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
    fn numbers_are_formatted() {
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
