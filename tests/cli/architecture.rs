//! What ARCHITECTURE.md quotes is in the files that it names.

use std::fs;

use super::common;

/// The lines without what all of them are indented by.
fn dedented(text: &str) -> Vec<String> {
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    text.lines().map(|line| line.get(indent..).unwrap_or("").trim_end().to_string()).collect()
}

#[test]
fn what_architecture_md_quotes_is_in_the_files() {
    let text = fs::read_to_string(common::root().join("ARCHITECTURE.md")).unwrap();
    let marked = text.split("<!-- quoted from ").skip(1).map(|part| {
        let (file, rest) = part.split_once(" -->").unwrap();
        let block = rest.split("```").nth(1).unwrap().split_once('\n').unwrap().1;
        (file, dedented(block))
    });
    let mut quoted = 0;
    for (file, block) in marked {
        let source = fs::read_to_string(common::root().join(file)).unwrap();
        let lines: Vec<&str> = source.lines().collect();
        let found = lines.windows(block.len()).any(|window| dedented(&window.join("\n")) == block);
        assert!(found, "{file} has no such lines:\n{}", block.join("\n"));
        quoted += 1;
    }
    assert!(quoted >= 5, "only {quoted} blocks are quoted");
}
