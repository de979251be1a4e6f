//! `stitch data fetch` against a server on this machine.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::OnceLock;

use assert_cmd::Command;
use flate2::Compression;
use flate2::write::GzEncoder;
use predicates::prelude::*;
use predicates::str::contains;
use stitch::dataset::source::OFFICIAL;

use crate::server::{Reply, Request, Server};
use crate::tls_server::TlsServer;
use crate::{common, copy_real, files_in, name_of, real_paths, refused, stitch, temporary_folder};

const LABELS: &str = "t10k-labels-idx1-ubyte";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The official files, packed, in the order of [`OFFICIAL`].
fn packed() -> &'static [Vec<u8>; 4] {
    static PACKED: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    PACKED.get_or_init(|| {
        real_paths().map(|path| {
            let bytes = fs::read(&path).unwrap();
            if path.extension().is_some_and(|end| end == "gz") { bytes } else { gzip(&bytes) }
        })
    })
}

/// The smallest official file, packed.
fn labels() -> &'static [u8] {
    &packed()[3]
}

/// The four official files under `/mirror/NAME.gz`; anything else is not there.
fn official(request: &Request) -> Reply {
    let of = |name: &str| format!("/mirror/{name}.gz");
    match OFFICIAL.iter().position(|file| request.path == of(file.name)) {
        Some(i) => Reply::as_asked(request, &packed()[i]),
        None => Reply::status("404 Not Found"),
    }
}

/// `stitch data fetch --mirror URL --to to`, past no proxy.
fn fetch(folder: &Path, url: &str) -> Command {
    let mut command = stitch(folder);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.args(["data", "fetch", "--mirror", url, "--to", "to"]);
    command
}

/// A temporary folder with all official files but the smallest in `to`, and with `part` of that.
fn begun(part: Option<&[u8]>) -> tempfile::TempDir {
    let folder = temporary_folder();
    let to = folder.path().join("to");
    copy_real(&to);
    fs::remove_file(to.join(name_of(&real_paths()[3]))).unwrap();
    if let Some(part) = part {
        fs::write(to.join(format!("{LABELS}.part.gz")), part).unwrap();
    }
    folder
}

fn names_in(folder: &Path) -> Vec<String> {
    files_in(&folder.join("to")).into_keys().collect()
}

/// The three files of [`begun`].
fn names_at_the_beginning() -> Vec<String> {
    let mut names: Vec<String> = real_paths()[..3].iter().map(|path| name_of(path)).collect();
    names.sort();
    names
}

/// The smallest file is in place, byte for byte, and no part of it is left.
fn labels_are_in_place(folder: &Path) {
    let mut names = names_at_the_beginning();
    names.push(format!("{LABELS}.gz"));
    names.sort();
    assert_eq!(names_in(folder), names);
    let fetched = fs::read(folder.join("to").join(format!("{LABELS}.gz"))).unwrap();
    assert!(fetched == labels(), "{} bytes, not the {} served", fetched.len(), labels().len());
}

fn ranges(server: &Server) -> Vec<Option<String>> {
    server.requests().into_iter().map(|request| request.range).collect()
}

fn from(start: usize) -> Option<String> {
    Some(format!("bytes={start}-"))
}

#[test]
fn a_fetch_puts_the_four_official_files_in_place_and_a_second_one_asks_for_nothing() {
    let folder = temporary_folder();
    let server = Server::start(8, |_, request| official(request));
    fetch(folder.path(), &server.url())
        .assert()
        .code(0)
        .stdout("Fashion-MNIST is in to\n")
        .stderr(contains("t10k-labels-idx1-ubyte.gz: downloaded").and(contains("\r").not()));
    let paths: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    let wanted = OFFICIAL.iter().map(|file| format!("/mirror/{}.gz", file.name));
    assert!(paths.iter().cloned().eq(wanted), "{paths:?}");

    let mut show = stitch(folder.path());
    let shown = show.args(["data", "--data", "to"]).assert().code(0);
    shown.stdout(contains("These are the official files of Fashion-MNIST."));

    fetch(folder.path(), &server.url())
        .assert()
        .code(0)
        .stderr(contains("already downloaded").count(4));
    assert_eq!(server.requests().len(), 4, "the second fetch asked for something");
    assert_eq!(names_in(folder.path()).len(), 4);
}

#[test]
fn files_go_to_the_folder_where_they_are_looked_for_first() {
    let folder = begun(None);
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::rename(folder.path().join("to"), folder.path().join("data/fashion-mnist")).unwrap();
    let server = Server::start(2, |_, request| official(request));
    let mut command = stitch(folder.path());
    command.args(["data", "fetch", "--mirror", &server.url()]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.assert().code(0).stdout("Fashion-MNIST is in data/fashion-mnist\n");
    assert!(folder.path().join(format!("data/fashion-mnist/{LABELS}.gz")).is_file());
}

#[test]
fn a_slash_at_the_end_of_the_mirror_does_not_matter() {
    let folder = begun(None);
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &format!("{}/", server.url())).assert().code(0);
    assert_eq!(server.requests()[0].path, format!("/mirror/{LABELS}.gz"));
    labels_are_in_place(folder.path());
}

#[test]
fn a_quiet_fetch_says_nothing_on_stderr() {
    let folder = begun(None);
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &server.url()).arg("--quiet").assert().code(0).stderr("");
    labels_are_in_place(folder.path());
}

#[test]
fn an_unpacked_official_file_is_left_alone() {
    let folder = begun(None);
    let content = common::labels_file(&common::dataset().test.labels);
    fs::write(folder.path().join("to").join(LABELS), content).unwrap();
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &server.url())
        .assert()
        .code(0)
        .stderr(contains("already downloaded").count(4));
    assert_eq!(server.requests(), []);
}

#[test]
fn a_part_is_continued_where_it_ends() {
    let folder = begun(Some(&labels()[..1000]));
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &server.url()).assert().code(0);
    assert_eq!(ranges(&server), [from(1000)]);
    labels_are_in_place(folder.path());
}

#[test]
fn a_server_that_knows_no_ranges_is_read_from_the_start() {
    let folder = begun(Some(&labels()[..1000]));
    let server = Server::start(2, |_, _| Reply::whole(labels()));
    fetch(folder.path(), &server.url()).assert().code(0);
    assert_eq!(ranges(&server), [from(1000)]);
    labels_are_in_place(folder.path());
}

#[test]
fn a_part_that_is_whole_already_is_put_in_place() {
    let folder = begun(Some(labels()));
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &server.url()).assert().code(0);
    labels_are_in_place(folder.path());
}

#[test]
fn a_part_of_something_else_is_thrown_away_and_the_file_fetched_from_the_start() {
    let folder = begun(Some(&[7; 1000]));
    let server = Server::start(3, |_, request| official(request));
    fetch(folder.path(), &server.url()).assert().code(0);
    assert_eq!(ranges(&server), [from(1000), None]);
    labels_are_in_place(folder.path());
}

#[test]
fn a_body_that_is_cut_short_is_continued() {
    let folder = begun(None);
    let server = Server::start(3, |number, request| match number {
        0 => Reply::cut_short(labels(), 1000),
        _ => official(request),
    });
    let again = fetch(folder.path(), &server.url()).assert().code(0);
    again.stderr(contains("retrying in 1 s").count(1));
    assert_eq!(ranges(&server), [None, from(1000)]);
    labels_are_in_place(folder.path());
}

#[test]
fn a_server_that_is_overloaded_for_a_moment_is_asked_again() {
    let folder = begun(None);
    let server = Server::start(3, |number, request| match number {
        0 => Reply::status("503 Service Unavailable"),
        _ => official(request),
    });
    let again = fetch(folder.path(), &server.url()).assert().code(0);
    again.stderr(contains("503").and(contains("retrying in 1 s").count(1)));
    labels_are_in_place(folder.path());
}

#[test]
fn a_file_that_the_server_does_not_have_is_named_with_its_address() {
    let folder = begun(None);
    let server = Server::start(8, |_, _| Reply::status("404 Not Found"));
    let url = format!("{}/{LABELS}.gz", server.url());
    refused(&mut fetch(folder.path(), &server.url()), 2, &[&url, "404 Not Found", "--mirror"]);
    assert_eq!(server.requests().len(), 1, "a final answer was asked for again");
    assert_eq!(names_in(folder.path()), names_at_the_beginning());
}

/// Serves `body` as the smallest file: exit code 1, each of `parts` on stderr, nothing kept.
fn is_not_kept(body: Vec<u8>, parts: &[&str]) {
    let folder = begun(None);
    let server = Server::start(8, move |_, _| Reply::whole(body.clone()));
    let url = format!("{}/{LABELS}.gz", server.url());
    let parts = [&[&url, "not the official file", "--mirror"], parts].concat();
    refused(&mut fetch(folder.path(), &server.url()), 1, &parts);
    assert_eq!(names_in(folder.path()), names_at_the_beginning());
}

#[test]
fn another_data_sets_labels_are_not_kept() {
    let mut labels = common::dataset().test.labels.clone();
    labels[0] ^= 1;
    is_not_kept(gzip(&common::labels_file(&labels)), &["SHA-256", OFFICIAL[3].sha256]);
}

#[test]
fn a_page_in_place_of_a_file_is_not_kept() {
    is_not_kept(b"<html>Welcome to the hotel's network</html>".to_vec(), &["a web page"]);
}

#[test]
fn an_empty_answer_is_not_kept() {
    is_not_kept(Vec::new(), &[]);
}

#[test]
fn official_bytes_with_something_behind_them_are_not_kept() {
    is_not_kept([labels(), b"and more"].concat(), &[]);
}

#[test]
fn an_endless_body_is_refused() {
    let folder = begun(None);
    let server = Server::start(8, |_, _| Reply::endless());
    let url = format!("{}/{LABELS}.gz", server.url());
    let parts = [&url, "longer than 10008 bytes", "--mirror"];
    refused(&mut fetch(folder.path(), &server.url()), 1, &parts);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(names_in(folder.path()), names_at_the_beginning());
}

#[test]
fn a_part_from_elsewhere_than_asked_for_is_not_appended() {
    let folder = begun(Some(&labels()[..1000]));
    let server = Server::start(3, |number, request| match number {
        0 => Reply::part(labels(), 2000),
        _ => official(request),
    });
    let again = fetch(folder.path(), &server.url()).assert().code(0);
    again.stderr(contains("another range than requested").count(1));
    assert_eq!(ranges(&server), [from(1000), from(1000)]);
    labels_are_in_place(folder.path());
}

#[test]
fn a_server_that_stays_overloaded_is_asked_four_times_and_what_has_arrived_is_kept() {
    let folder = begun(None);
    let server = Server::start(8, |number, _| match number {
        0 => Reply::cut_short(labels(), 1000),
        _ => Reply::status("500 Internal Server Error"),
    });
    let parts = ["500 Internal Server Error", "in 1 s", "in 2 s", "in 4 s", "--mirror"];
    refused(&mut fetch(folder.path(), &server.url()), 2, &parts);
    assert_eq!(ranges(&server), [None, from(1000), from(1000), from(1000)]);
    let part = folder.path().join("to").join(format!("{LABELS}.part.gz"));
    assert_eq!(fs::read(part).unwrap(), labels()[..1000]);
}

#[test]
fn a_server_that_redirects_in_a_circle_is_left() {
    let folder = begun(None);
    let server = Server::start(20, |_, request| Reply::redirect(&request.path));
    let url = format!("{}/{LABELS}.gz", server.url());
    refused(&mut fetch(folder.path(), &server.url()), 2, &[&url, "redirected", "--mirror"]);
    assert_eq!(server.requests().len(), 6, "the file itself, and five redirections");
    assert_eq!(names_in(folder.path()), names_at_the_beginning());
}

#[test]
fn a_redirection_to_the_file_is_followed() {
    let folder = begun(None);
    let server = Server::start(3, |number, request| match number {
        0 => Reply::redirect(&format!("/mirror/{LABELS}.gz")),
        _ => official(request),
    });
    fetch(folder.path(), &format!("{}/old", server.url())).assert().code(0);
    assert_eq!(server.requests().len(), 2);
    labels_are_in_place(folder.path());
}

#[test]
fn a_connection_that_stalls_is_given_up_and_continued_by_another() {
    let folder = begun(None);
    let server = Server::start(3, |number, request| match number {
        0 => Reply::stalled(labels(), 1000),
        _ => official(request),
    });
    let again = fetch(folder.path(), &server.url()).args(["--timeout", "1"]).assert().code(0);
    again.stderr(contains("timeout").and(contains("retrying in 1 s").count(1)));
    assert_eq!(ranges(&server), [None, from(1000)]);
    labels_are_in_place(folder.path());
}

#[test]
fn a_server_that_never_answers_is_named() {
    let folder = begun(None);
    // The system accepts connections to it, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut fetch = fetch(folder.path(), &url);
    refused(fetch.args(["--timeout", "1"]), 2, &[&url, "timeout", "retrying in 4 s"]);
    assert_eq!(names_in(folder.path()), names_at_the_beginning());
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_asked_for() {
    let folder = begun(None);
    let server = TlsServer::start(2);
    let parts = ["https://localhost", "no secure connection", "certificate", "--mirror"];
    refused(&mut fetch(folder.path(), &server.url()), 2, &parts);
    assert_eq!(server.stop(), [0], "bytes that came over each connection");
    assert_eq!(names_in(folder.path()), names_at_the_beginning());
}

#[test]
fn a_server_that_is_not_there_is_tried_again_and_then_named() {
    let folder = temporary_folder();
    // Port 1 is reserved for a service that nobody runs.
    let url = "http://127.0.0.1:1";
    let parts = [url, "could not be fetched", "retrying in 4 s", "--mirror"];
    refused(&mut fetch(folder.path(), url), 2, &parts);
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn an_address_that_is_none_is_refused_without_trying_it_again() {
    let folder = temporary_folder();
    let assert = fetch(folder.path(), "no address").assert().code(2);
    assert.stderr(contains("--mirror").and(contains("retrying").not()));
}

#[test]
fn a_target_that_is_a_file_is_refused_before_anything_is_asked_for() {
    let folder = temporary_folder();
    fs::write(folder.path().join("to"), "a file").unwrap();
    let server = Server::start(8, |_, request| official(request));
    refused(&mut fetch(folder.path(), &server.url()), 2, &["to cannot be written"]);
    assert_eq!(server.requests(), []);
    assert_eq!(fs::read(folder.path().join("to")).unwrap(), b"a file");
}

#[test]
fn a_damaged_packed_file_is_replaced() {
    let folder = begun(None);
    let damaged = &labels()[..labels().len() - 1];
    fs::write(folder.path().join("to").join(format!("{LABELS}.gz")), damaged).unwrap();
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &server.url()).assert().code(0);
    labels_are_in_place(folder.path());
}

#[test]
fn a_damaged_unpacked_file_is_not_used_any_more_after_a_fetch() {
    let folder = begun(None);
    let mut content = common::labels_file(&common::dataset().test.labels);
    content.pop();
    fs::write(folder.path().join("to").join(LABELS), content).unwrap();
    let server = Server::start(2, |_, request| official(request));
    fetch(folder.path(), &server.url()).assert().code(0);
    let mut verify = stitch(folder.path());
    verify
        .args(["data", "verify", "--data", "to"])
        .assert()
        .code(0)
        .stdout(contains("These are the official files of Fashion-MNIST."));
}

#[test]
fn a_signal_ends_a_command_that_does_not_train_with_its_code() {
    let folder = temporary_folder();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mirror", silent.local_addr().unwrap());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stitch"));
    for name in ["http_proxy", "all_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.args(["data", "fetch", "--mirror", &url, "--to", "to"]).current_dir(folder.path());
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        // It has connected, and waits.
        let _connection = silent.accept().unwrap();
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let errors = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{errors}");
        assert!(errors.contains("error: interrupted"), "{errors}");
    }
}
