//! The links between the Markdown files of the repository lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::markdown::{anchors, links};

/// The Markdown files in `folder`, without those of build outputs and hidden folders.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        // A link to a folder elsewhere is not followed.
        let is_folder = entry.file_type().unwrap().is_dir();
        if is_folder && !name.starts_with('.') && !["target", "runs"].contains(&name.as_str()) {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Why a link of a page leads nowhere.
fn broken(page: &Path, link: &str) -> Option<String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, it)| (file, Some(it)));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !target.exists() {
        return Some("no such file".into());
    }
    let anchor = anchor?;
    if target.extension().is_none_or(|extension| extension != "md") {
        return Some("an anchor in a file that is not Markdown".into());
    }
    let anchors = anchors(&fs::read_to_string(&target).unwrap());
    (!anchors.iter().any(|it| it == anchor))
        .then(|| format!("no such heading; there are {anchors:?}"))
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut found = Vec::new();
    pages(common::root(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    let (mut checked, mut complaints) = (0, Vec::new());
    for page in &found {
        for link in links(&fs::read_to_string(page).unwrap()) {
            checked += 1;
            if let Some(reason) = broken(page, &link) {
                complaints.push(format!("{}: ({link}): {reason}", page.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} links");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_page_of_docs_is_in_its_index() {
    let docs = common::root().join("docs");
    let index = links(&fs::read_to_string(docs.join("README.md")).unwrap());
    let mut found = Vec::new();
    pages(&docs, &mut found);
    for page in found {
        let name = page.strip_prefix(&docs).unwrap().to_str().unwrap();
        assert!(
            name == "README.md" || index.iter().any(|link| link == name),
            "{name} is not listed"
        );
    }
}

#[test]
fn a_broken_link_is_found() {
    let page = common::root().join("README.md");
    assert_eq!(broken(&page, "docs/README.md#documentation"), None);
    assert_eq!(broken(&page, "https://example.com/#x"), None);
    assert!(broken(&page, "docs/missing.md").is_some());
    assert!(broken(&page, "docs/README.md#missing").is_some());
    assert!(broken(&page, "Makefile#L3").is_some());
}
