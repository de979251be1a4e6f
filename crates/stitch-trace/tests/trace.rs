//! Traces are read back as written; truncated, changed and contradictory traces are detected.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use stitch_trace::{Dtype, ELEMENTS, Place, RECORDS, Trace, TraceError, WriteError, Writer, stage};

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn write(folder: &Path) {
    let mut trace = Writer::create(folder, "net").unwrap();
    let bias = f32s(&[1.0, f32::NAN]);
    trace.record(stage::INIT, "fc.bias", Place::RUN, Dtype::F32, &[2], &bias).unwrap();
    trace.keep_up_to(8);
    let images = [f32s(&[1.0, 2.0]), f32s(&[3.0])];
    let place = Place::step(1);
    trace.record_parts(stage::BATCH, "images", place, Dtype::F32, &[3], &images).unwrap();
    let order = 7i64.to_le_bytes();
    let place = Place::epoch(1);
    trace.record(stage::PERMUTATION, "order", place, Dtype::I64, &[1], &order).unwrap();
    // Any other stage, such as the state of SGD with momentum.
    let momentum = f32s(&[0.5]);
    trace.record("momentum_buffer", "w", Place::step(1), Dtype::F32, &[], &momentum).unwrap();
    trace.finish().unwrap();
}

fn elements(trace: &mut Trace, i: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    trace.elements(i).unwrap()?.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let mut trace = Trace::open(folder.path()).unwrap();
    assert!(trace.is_complete());
    assert_eq!((trace.header().version, trace.header().model.as_str()), (2, "net"));
    let keys: Vec<String> = trace.records().iter().map(|record| record.key()).collect();
    let expected = [
        "init/fc.bias",
        "batch/step=1/images",
        "permutation/epoch=1/order",
        "momentum_buffer/step=1/w",
    ];
    assert_eq!(keys, expected);
    let nan: Vec<Option<usize>> = trace.records().iter().map(|record| record.nan).collect();
    assert_eq!(nan, [Some(1), Some(0), None, Some(0)]);
    assert_eq!(elements(&mut trace, 0).unwrap(), f32s(&[1.0, f32::NAN]));
    // 12 bytes, where 8 are kept.
    assert!(!trace.has_elements(1) && elements(&mut trace, 1).is_none());
    assert_eq!(elements(&mut trace, 2).unwrap(), 7i64.to_le_bytes());
    assert_eq!(elements(&mut trace, 3).unwrap(), f32s(&[0.5]));
}

#[test]
fn a_tensor_that_does_not_fit_is_an_error_and_the_trace_can_be_continued() {
    let (mut records, mut bytes) = (Vec::new(), Vec::new());
    let mut trace = Writer::new(&mut records, &mut bytes, "").unwrap();
    for (shape, length) in [(vec![2], 4), (vec![usize::MAX, 2], 8), (vec![], 8)] {
        let refused =
            trace.record("a", "x", Place::RUN, Dtype::F32, &shape, &vec![0; length]).unwrap_err();
        assert!(matches!(refused, WriteError::Size { .. }), "{refused}");
        assert!(refused.to_string().contains("bytes do not fit"), "{refused}");
    }
    let parts = [[0; 2], [0; 2]];
    let refused = trace.record_parts("a", "x", Place::RUN, Dtype::F32, &[1], parts).unwrap_err();
    assert!(refused.to_string().contains("a part of 2 bytes ends within"), "{refused}");
    trace.record("a", "x", Place::RUN, Dtype::F32, &[1], &[1; 4]).unwrap();
    let twice = trace.record("a", "x", Place::RUN, Dtype::F32, &[1], &[1; 4]).unwrap_err();
    assert_eq!(twice.to_string(), "a/x was recorded before");
    trace.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(RECORDS), records).unwrap();
    fs::write(folder.path().join(ELEMENTS), bytes).unwrap();
    let mut trace = Trace::open(folder.path()).unwrap();
    assert_eq!(elements(&mut trace, 0).unwrap(), [1; 4]);
}

#[test]
fn a_trace_cut_anywhere_is_readable_up_to_there_and_not_complete() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let text = fs::read(folder.path().join(RECORDS)).unwrap();
    let header = text.iter().position(|&byte| byte == b'\n').unwrap();
    for length in 0..text.len() {
        fs::write(folder.path().join(RECORDS), &text[..length]).unwrap();
        match Trace::open(folder.path()) {
            Ok(trace) => {
                // The line break after the end marker does not matter.
                assert_eq!(trace.is_complete(), length + 1 == text.len(), "{length} bytes");
                let lines = text[..length].iter().filter(|&&byte| byte == b'\n').count();
                assert!(trace.records().len() + 1 >= lines.min(5), "{length} bytes");
            }
            Err(error) => assert!(length < header, "{length} bytes: {error}"),
        }
    }
}

#[test]
fn a_trace_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let text = fs::read_to_string(folder.path().join(RECORDS)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let hash = lines[1].split("\"sha256\":\"").nth(1).unwrap()[..64].to_owned();
    let last = lines[4].replacen("\"sha256\":\"", "\"sha256\":\"X", 1);
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    for (changed, said) in [
        (text.replacen("\"version\":2", "\"version\":3", 1), "it is a trace of version 3"),
        (text.replacen("\"version\":2", "\"version\":0", 1), "it is a trace of version 0; this"),
        (text.replacen("float32", "float33", 1), "init/fc.bias has an unknown size: its type is"),
        // The last line is read, too, unless it was cut.
        (join(&[&lines[..4], &[&last]].concat()), "line 5 has the sha256 \"X"),
        (text.replacen("\"end\":\"stitch-trace\"", "\"end\":\"other\"", 1), "line 6 is not an end"),
        (text.replacen(&hash, "", 1), "line 2 has the sha256 \"\""),
        (text.replacen(&hash, &hash.to_uppercase(), 1), "line 2 has the sha256"),
        (join(&[&lines[..2], &lines[1..]].concat()), "line 3 records init/fc.bias twice"),
        (
            join(&[&lines[..2], &lines[3..]].concat()),
            "line 5 is the end marker: expected 4 records, found 3",
        ),
        (join(&[&lines[..], &lines[1..2]].concat()), "line 7 follows the end marker"),
        (text.replacen("{\"stage\":\"init\"", "{\"stage\":1", 1), "line 2 is not a record"),
        (text.replacen("\"offset\":0", "\"offset\":20", 1), "lies beyond the end of the file"),
        (text.replacen("\"offset\":8", "\"offset\":4", 1), "overlap"),
        (String::new(), "line 1 is not the header of a trace"),
    ] {
        fs::write(folder.path().join(RECORDS), &changed).unwrap();
        let error = Trace::open(folder.path()).map(|_| said).unwrap_err().to_string();
        assert!(error.contains(said), "{error}\n{changed}");
    }
}

#[test]
fn nothing_is_recorded_after_a_write_has_failed() {
    /// Has room for the header and one record.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut trace = Writer::new(Full(300), Vec::new(), "").unwrap();
    let mut record = |name| trace.record("a", name, Place::RUN, Dtype::F32, &[1], &[0; 4]);
    record("x").unwrap();
    for name in ["y", "z"] {
        assert!(matches!(record(name), Err(WriteError::Io(_))), "{name}");
    }
    assert!(matches!(trace.finish(), Err(WriteError::Io(_))));
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Writer::create(file.path(), "").unwrap_err().to_string();
    assert!(error.contains(file.path().to_str().unwrap()), "{error}");
}

#[test]
fn a_folder_without_a_trace_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Trace::open(folder.path()).unwrap_err();
    assert!(matches!(error, TraceError::Io { .. }));
    assert!(error.to_string().contains(RECORDS), "{error}");
}

#[test]
fn a_line_without_an_end_is_refused() {
    let header = b"{\"format\": \"stitch-trace\", \"version\": 2}\n";
    for (start, error) in
        [(&header[..], "line 2 has more than 67108864 bytes"), (b"", "line 1 is not")]
    {
        let endless = BufReader::new(start.chain(io::repeat(b' ')));
        let found = stitch_trace::parse(endless, Path::new(RECORDS)).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_is_not_opened() {
    for name in [RECORDS, ELEMENTS] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let path = folder.path().join(name);
        for special in ["a device", "a pipe"] {
            fs::remove_file(&path).unwrap();
            match special {
                "a device" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                _ => {
                    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
                    assert!(made.success());
                }
            }
            let error = Trace::open(folder.path()).unwrap_err();
            assert!(matches!(&error, TraceError::NotRegular(of) if *of == path), "{error}");
        }
    }
}
