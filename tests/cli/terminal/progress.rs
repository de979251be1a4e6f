//! `stitch train` while it goes on.

use super::{Terminal, folder_with_data, has_bar};

const TRAIN: [&str; 6] = ["train", "lenet5", "--data", "data", "--threads", "1"];

/// Two epochs on a screen of so many columns.
fn two_epochs(columns: u16) -> Terminal {
    let folder = folder_with_data();
    let arguments = [&TRAIN[..], &["--epochs", "2"]].concat();
    let mut terminal = Terminal::start(folder.path(), (columns, 120), &arguments, &[]);
    assert_eq!(terminal.finish(), 0);
    terminal
}

fn bars(terminal: &Terminal) -> Vec<String> {
    let screens = terminal.screens.iter();
    let bars = screens.map(|rows| rows.iter().filter(|row| has_bar(row)).collect::<Vec<_>>());
    let bars = bars.filter(|bars| !bars.is_empty()).map(|bars| {
        assert_eq!(bars.len(), 1, "more than one bar: {bars:#?}");
        bars[0].clone()
    });
    bars.collect()
}

#[test]
fn an_epoch_has_a_bar_with_loss_speed_and_time_left() {
    let terminal = two_epochs(80);
    let bars = bars(&terminal);
    for epoch in ["lenet5 epoch 1/2", "lenet5 epoch 2/2"] {
        let whole = |bar: &&String| {
            let parts = ["  loss ", "loss 2.", " images/s  ", " left, run "];
            bar.starts_with(epoch) && parts[1..].iter().all(|part| bar.contains(part))
        };
        assert!(bars.iter().any(|bar| whole(&bar)), "{epoch}: {bars:#?}");
    }
}

#[test]
fn on_a_narrow_terminal_the_bar_still_has_loss_speed_and_time_left() {
    let terminal = two_epochs(40);
    let whole =
        |bar: &&String| bar.starts_with("1/2 ") && bar.contains("/s ") && bar.ends_with(" left");
    let bars = bars(&terminal);
    assert!(bars.iter().any(|bar| whole(&bar)), "{bars:#?}");
    assert!(bars.iter().all(|bar| bar.chars().count() < 40), "{bars:#?}");
}

#[test]
fn the_epochs_that_are_done_are_a_table_that_grows_and_stays() {
    for columns in [80, 40] {
        let terminal = two_epochs(columns);
        let text = terminal.text();
        let header =
            text.iter().position(|row| row.contains("epoch") && row.contains("loss")).unwrap();
        assert_eq!(text.iter().filter(|row| row.contains("images/s")).count(), 1, "{text:#?}");
        let [head, first, second] = [0, 1, 2].map(|i| &text[header + i]);
        assert!(first.trim_start().starts_with("1/2 ") && second.trim_start().starts_with("2/2 "));
        assert!([first, second].iter().all(|row| row.len() == head.len()), "{text:#?}");
        assert!(!text.iter().any(|row| has_bar(row)), "{text:#?}");
        let grows = |rows: &Vec<String>| {
            let has = |start: &str| rows.iter().any(|row| row.trim_start().starts_with(start));
            has("1/2 ") && !has("2/2 ") && rows.iter().any(|row| has_bar(row))
        };
        assert!(terminal.screens.iter().any(grows), "no bar below the first epoch");
    }
}

/// A training that goes on until it is ended, its bar seen.
fn endless(columns: u16, flags: &[&str]) -> (tempfile::TempDir, Terminal) {
    let folder = folder_with_data();
    let arguments = [&TRAIN[..], &["--epochs", "100000"], flags].concat();
    let mut terminal = Terminal::start(folder.path(), (columns, 24), &arguments, &[]);
    terminal.until(|rows| rows.iter().any(|row| has_bar(row) && row.contains("left")));
    (folder, terminal)
}

/// Interrupts it: no bar is left, and the last rows are the sentence.
fn ends_clean(terminal: &mut Terminal) {
    terminal.types("\x03");
    while terminal.read() {}
    assert_eq!(terminal.child.wait().unwrap().exit_code(), 130);
    let text = terminal.text();
    assert!(!text.iter().any(|row| has_bar(row)), "{text:#?}");
    assert!(text.iter().any(|row| row.starts_with("error: training was stopped")), "{text:#?}");
    assert!(text.last().unwrap().ends_with("--resume"), "{text:#?}");
    assert_eq!(terminal.parser.screen().cursor_position().1, 0, "the prompt begins no line");
    assert!(!terminal.parser.screen().hide_cursor());
}

#[test]
fn ctrl_c_leaves_no_bar_behind() {
    let (_folder, mut terminal) = endless(200, &[]);
    ends_clean(&mut terminal);
}

#[test]
fn a_training_that_fails_leaves_no_bar_behind() {
    let folder = folder_with_data();
    let arguments = [&TRAIN[..], &["--lr", "1e30"]].concat();
    let mut terminal = Terminal::start(folder.path(), (200, 24), &arguments, &[]);
    assert_eq!(terminal.finish(), 1);
    let text = terminal.text();
    assert!(text.last().unwrap().starts_with("error: training diverged"), "{text:#?}");
    assert!(!text.iter().any(|row| has_bar(row)), "{text:#?}");
}

#[test]
fn the_bar_follows_the_width_of_the_terminal() {
    let (_folder, mut terminal) = endless(200, &[]);
    terminal.resize(60, 24);
    let short = |row: &String| has_bar(row) && row.contains("/s ") && !row.contains("images/s");
    terminal.until(|rows| rows.iter().any(short));
    terminal.resize(200, 24);
    terminal.until(|rows| rows.iter().any(|row| has_bar(row) && row.contains("loss ")));
    ends_clean(&mut terminal);
}

#[test]
fn quiet_shows_no_bar_and_no_table() {
    let folder = folder_with_data();
    let arguments = [&TRAIN[..], &["--epochs", "2", "--quiet"]].concat();
    let mut terminal = Terminal::start(folder.path(), (80, 60), &arguments, &[]);
    assert_eq!(terminal.finish(), 0);
    assert_eq!(bars(&terminal), [""; 0]);
    assert!(!terminal.text().iter().any(|row| row.contains("images/s")));
}

#[test]
fn a_study_shows_the_rows_that_run_and_a_bar_over_all() {
    let folder = folder_with_data();
    let plan =
        ["study", "plan", "--model", "mlp", "--seeds", "0..2", "--epochs", "2", "-o", "study"];
    super::common::stitch(folder.path()).args(plan).assert().success();
    for (columns, running) in [(80, "row 1, mlp-b200-lr0.001-e2-s1-t1"), (40, "row 1")] {
        let run = ["study", "run", "study", "--data", "data", "--jobs", "1"];
        let mut terminal = Terminal::start(folder.path(), (columns, 24), &run, &[]);
        // Several bars are lines that are filled to the end.
        terminal.strict = false;
        assert_eq!(terminal.finish(), 0);
        let both = |rows: &Vec<String>| {
            let row = |row: &String| row.starts_with("  running ") && row.ends_with(running);
            let bar = |row: &String| has_bar(row) && row.contains(" 1 of 2 runs, 0 failed, ");
            rows.iter().any(row) && rows.iter().any(bar)
        };
        assert!(terminal.screens.iter().any(both), "{:#?}", terminal.screens);
        let text = terminal.text();
        assert!(!text.iter().any(|row| has_bar(row) || row.contains("running")), "{text:#?}");
        assert_eq!(text.last().unwrap(), "2 runs: 2 done, 0 failed, in study");
        std::fs::remove_dir_all(folder.path().join("study/results")).unwrap();
    }
}
