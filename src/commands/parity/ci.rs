//! The report of `stitch parity` for continuous integration: JUnit XML, and annotations of GitHub Actions.

use std::fmt::Write;

use stitch_parity::Report;

use super::flags::{TRUNCATED, message};
use crate::commands::terminal::{visible, visible_line};

/// How the file of [`junit`] begins.
pub const XML: &str =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"stitch parity\"";

/// A test suite with a test case per tensor, whose class is the stage: the XML that JUnit's reporters write.
pub fn junit(report: &Report) -> String {
    let (tests, failures) = (report.tensors.len(), report.different());
    let mut xml = String::from(XML);
    let _ = writeln!(
        xml,
        " tests=\"{tests}\" failures=\"{failures}\" errors=\"{}\" skipped=\"0\">",
        report.truncated.len()
    );
    for tensor in &report.tensors {
        let (class, name) = (escaped(&tensor.stage), escaped(&tensor.place()));
        let _ = write!(xml, "  <testcase classname=\"{class}\" name=\"{name}\"");
        let _ = match tensor.passes() {
            true => writeln!(xml, "/>"),
            false => {
                let said = escaped(&message(tensor));
                writeln!(xml, "><failure message=\"{said}\"/></testcase>")
            }
        };
    }
    for side in &report.truncated {
        let side = escaped(side);
        let said = format!("the trace has {TRUNCATED}");
        let _ = writeln!(
            xml,
            "  <testcase classname=\"trace\" name=\"{side}\"><error message=\"{said}\"/></testcase>"
        );
    }
    let _ = writeln!(xml, "  <system-out>{}</system-out>\n</testsuite>", escaped(&summary(report)));
    xml
}

/// A line for GitHub Actions: an error with the first divergence and its causes, or a notice.
pub fn github(report: &Report) -> String {
    let kind = if report.is_equal() { "notice" } else { "error" };
    let data =
        |text: &str| visible(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let sides = format!("{} and {}", report.reference, report.candidate);
    format!("::{kind} title={}::{}", property(&sides), data(&summary(report)))
}

/// The verdict, the first divergence with its causes, and what was not compared, a line each.
fn summary(report: &Report) -> String {
    let mut lines = vec![report.verdict()];
    lines.extend(
        report.first_difference().map(|first| format!("first divergence: {}", message(first))),
    );
    lines.extend(report.causes.iter().map(|cause| format!("likely cause: {cause}")));
    lines.extend(report.not_compared.iter().map(|what| format!("not compared: {what}")));
    let lines: Vec<String> = lines.iter().map(|line| visible_line(line)).collect();
    lines.join("\n")
}

/// Text in an attribute or element of XML, which has no control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out.push('\n'),
            '\u{fffe}' | '\u{ffff}' => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}
