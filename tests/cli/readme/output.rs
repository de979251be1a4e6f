//! Compares what a command printed with what a page shows of it: `…` within a line stands for any characters, a line of
//! it alone for any lines.

/// Panics if `printed` is not what is `shown` of it.
pub fn assert_shown(shown: &[String], printed: &str, command: &str) {
    if let Err(line) = compare(shown, printed) {
        panic!("{command}\ndoes not print the line\n{line}\nafter those above it, but\n{printed}");
    }
}

/// The first line shown that was not printed, if any, or the first one printed that is not shown.
fn compare(shown: &[String], printed: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    let mut may_skip = false;
    for pattern in shown {
        if pattern == "…" {
            may_skip = true;
            continue;
        }
        let is_found = match may_skip {
            true => lines.any(|line| matches(pattern, line)),
            false => lines.next().is_some_and(|line| matches(pattern, line)),
        };
        if !is_found {
            return Err(pattern.clone());
        }
        may_skip = false;
    }
    match lines.next() {
        Some(line) if !may_skip => Err(format!("(its end, before {line:?})")),
        _ => Ok(()),
    }
}

fn matches(pattern: &str, line: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_characters_or_lines() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = "EQUAL (3 of 300)\nvalue 0.125, index 7\nnote\nend\n";
    for equal in ["EQUAL (… of 300)\n…", "…\nvalue 0.1…, index …\nnote\nend", "…\nend", "…"]
    {
        assert_eq!(compare(&shown(equal), printed), Ok(()), "{equal}");
    }
    for other in [
        "EQUAL (… of 301)\n…",
        "…\nvalue 0.2…\n…",
        "EQUAL (3 of 300)",
        "…\nend\n…\nnote",
        "value…\n…",
    ] {
        assert!(compare(&shown(other), printed).is_err(), "{other}");
    }
}
