//! Code blocks, links and anchors of a Markdown file.

use std::collections::HashMap;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A fenced code block.
pub struct CodeBlock {
    /// The word after the fence.
    pub language: String,
    pub text: String,
}

fn events(markdown: &str) -> Parser<'_> {
    Parser::new_ext(markdown, Options::ENABLE_TABLES)
}

/// The code blocks in their order. One that is indented has no language, and is an error.
pub fn code_blocks(markdown: &str) -> Vec<CodeBlock> {
    let mut found: Vec<CodeBlock> = Vec::new();
    let mut is_inside = false;
    for event in events(markdown) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                is_inside = true;
                found.push(CodeBlock { language: language.into_string(), text: String::new() });
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                panic!("an indented code block, which has no language, after block {}", found.len())
            }
            Event::End(TagEnd::CodeBlock) => is_inside = false,
            Event::Text(text) if is_inside => found.last_mut().unwrap().text += &text,
            _ => {}
        }
    }
    found
}

/// The targets of links and images.
pub fn links(markdown: &str) -> Vec<String> {
    let targets = events(markdown).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        Event::Html(html) | Event::InlineHtml(html) => {
            let is_link =
                ["<a ", "<img ", "<source ", "<picture"].iter().any(|tag| html.contains(tag));
            assert!(!is_link, "a link in HTML, which this test does not read: {html}");
            None
        }
        _ => None,
    });
    targets.collect()
}

/// The anchors of the headings, as GitHub makes them: lower case, without punctuation, hyphens for spaces; a number is
/// added to the second and later ones of the same text.
pub fn anchors(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut heading: Option<String> = None;
    for event in events(markdown) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => *heading += &text,
            (Event::End(TagEnd::Heading(_)), Some(text)) => {
                let slug = slug(text);
                let count = counts.entry(slug.clone()).or_default();
                found.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
                *count += 1;
                heading = None;
            }
            _ => {}
        }
    }
    found
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn code_links_and_anchors_are_found() {
    let text = "# The paper's `two` models\n\n[a](b.md#c), `[no](link)`\n\n```sh\n[no](link)\n```\n\n\
                | t |\n|---|\n| ![i](j.svg) |\n\n## Data\n## Data\n\n[r]\n\n[r]: s.md\n";
    assert_eq!(links(text), ["b.md#c", "j.svg", "s.md"]);
    assert_eq!(anchors(text), ["the-papers-two-models", "data", "data-1"]);
    let blocks = code_blocks(text);
    assert_eq!((blocks.len(), blocks[0].language.as_str()), (1, "sh"));
    assert_eq!(blocks[0].text, "[no](link)\n");
}
