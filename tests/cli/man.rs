//! The manual pages.

use std::path::Path;

use crate::{Files, files_in, refused, stitch, temporary_folder};

fn pages() -> Files {
    let folder = temporary_folder();
    stitch(folder.path()).args(["man", "pages/man1"]).assert().code(0).stderr("");
    files_in(&folder.path().join("pages/man1"))
}

#[test]
fn every_command_has_a_page_and_two_makes_give_the_same_bytes() {
    let pages = pages();
    let names = [
        "stitch-completions.1",
        "stitch-data-fetch.1",
        "stitch-data-import.1",
        "stitch-data-verify.1",
        "stitch-data.1",
        "stitch-doctor.1",
        "stitch-evaluate.1",
        "stitch-export.1",
        "stitch-inspect.1",
        "stitch-models.1",
        "stitch-parity.1",
        "stitch-predict.1",
        "stitch-report.1",
        "stitch-reproduce.1",
        "stitch-study-collect.1",
        "stitch-study-plan.1",
        "stitch-study-report.1",
        "stitch-study-run.1",
        "stitch-study.1",
        "stitch-train.1",
        "stitch.1",
    ];
    assert_eq!(pages.keys().collect::<Vec<_>>(), names);
    assert!(pages == self::pages());
}

#[test]
fn pages_are_made_of_known_macros_in_the_usual_order() {
    for (name, page) in &pages() {
        let page = str::from_utf8(page).unwrap();
        assert!(page.is_ascii(), "{name}");
        let title = format!(".TH {} 1 \"\" \"stitch ", name.trim_end_matches(".1"));
        assert!(page.starts_with(&title), "{name}");
        let known = ["TH", "SH", "TP", "PP", "IP", "RS", "RE", "br", "nf", "fi", "ie", "el", "ds"];
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            let word = line[1..].trim_start().split([' ', '\\']).next().unwrap();
            assert!(known.contains(&word), "{name}: {line}");
        }
        let opened = |word: &str| page.lines().filter(|line| *line == word).count();
        assert_eq!((opened(".nf"), opened(".RS 14")), (opened(".fi"), opened(".RE")), "{name}");
        let sections = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        let sections: Vec<&str> = sections.map(|name| name.trim_matches('"')).collect();
        assert_eq!(sections[..4], ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"], "{name}");
        assert_eq!(sections.last(), Some(&"EXAMPLES"), "{name}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = temporary_folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = Path::new("file").join("pages");
    let parts = ["file/pages", "cannot be created"];
    refused(stitch(folder.path()).arg("man").arg(path), 2, &parts);
}
