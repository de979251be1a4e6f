//! Files with something changed in them: what is read here and by PyTorch, safetensors or NumPy has
//! the same tensors in both; what two readers could read differently is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use tensor_files::{TensorFile, read_weights};

use super::archive::{Record, pack, packed, unpack};
use super::run_python;

/// A small file of each kind, by its name.
fn seeds() -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    run_python("seeds.py", &[folder.path()]);
    read_folder(folder.path())
}

fn read_folder(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// Numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % n as u64) as usize
    }

    /// Changes a byte, removes some, repeats some, or moves some.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (at, length) = (self.below(bytes.len()), 1 + self.below(8));
        let part = at..(at + length).min(bytes.len());
        match self.below(8) {
            0..=2 => bytes[at] ^= 1 << self.below(8),
            3 => bytes[at] = self.below(256) as u8,
            4 => bytes[at] = bytes[at].wrapping_add(1),
            5 => drop(bytes.drain(part)),
            6 => {
                let part = bytes[part].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let part: Vec<u8> = bytes.drain(part).collect();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
        }
    }
}

/// The tensors of a file as the oracle prints them, sorted; `None` when the file is refused.
fn found(file: &[u8]) -> Option<Vec<String>> {
    let mut file = TensorFile::open(Cursor::new(file)).ok()?;
    let prefix = file.key().map(|key| format!("{key}.")).unwrap_or_default();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let tensors = file.load_all().ok()?;
    let line = |tensor: tensor_files::NamedTensor| {
        let name = hex(format!("{prefix}{}", tensor.name).as_bytes());
        format!("{name}\t{}\t{:?}\t{}", tensor.dtype, tensor.shape, hex(&tensor.data))
    };
    let mut lines: Vec<String> = tensors.into_iter().map(line).collect();
    lines.sort();
    Some(lines)
}

/// Reads the files that are read here with the other readers too. Returns how many were read by both.
fn compare(files: &[(String, Vec<u8>)]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut own = BTreeMap::new();
    for (name, file) in files {
        if let Some(lines) = found(file) {
            fs::write(folder.path().join(name), file).unwrap();
            own.insert(name.as_str(), lines);
        }
    }
    let said = run_python("oracle.py", &[folder.path()]);
    let (mut both, mut differ) = (0, Vec::new());
    for part in said.split("= ").skip(1) {
        let (name, readings) = part.split_once('\n').unwrap();
        let own = &own[name];
        for reading in readings.split("+\n").skip(1) {
            both += 1;
            let lines: Vec<&str> = reading.lines().collect();
            // Tensors beside those that are taken, such as an optimizer's, are the oracle's alone.
            if own.iter().any(|line| !lines.contains(&line.as_str())) {
                differ.push(format!("{name}:\n{}\nand\n{reading}", own.join("\n")));
            }
        }
    }
    if let Some(first) = differ.first() {
        let count = differ.len();
        panic!("{count} of {both} files are read differently here and elsewhere, such as {first}");
    }
    both
}

/// An archive in whose pickle something is changed, under a right checksum.
fn with_pickle(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut records = unpack(file);
    let at = records.iter().position(|record| record.header.name.ends_with("data.pkl")).unwrap();
    let mut pickle = records[at].data.clone();
    change(&mut pickle);
    records[at] = Record::new(&records[at].header.name, &pickle);
    packed(&records)
}

#[test]
fn what_is_read_here_and_elsewhere_has_the_same_tensors() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut files = Vec::new();
    for (name, seed) in seeds() {
        assert!(found(&seed).is_some(), "{name}: {:?}", read_weights(&seed).err());
        files.push((format!("seed-{name}"), seed.clone()));
        for i in 0..400 {
            let mut file = seed.clone();
            (0..=i % 3).for_each(|_| random.change(&mut file));
            files.push((format!("{i}-{name}"), file));
        }
        let zipped = seed.starts_with(b"PK") && name.ends_with(".pt");
        for i in 0..if zipped { 800 } else { 0 } {
            let file = with_pickle(&seed, |pickle| {
                (0..=i % 2).for_each(|_| random.change(pickle));
            });
            files.push((format!("pickle{i}-{name}"), file));
        }
    }
    for (name, seed) in &archives() {
        let mutants = contradictions(seed).into_iter().chain(harmless(seed));
        files.extend(mutants.map(|(what, file)| (format!("{what}-{name}"), file)));
    }
    assert!(files.len() > 5000, "{}", files.len());
    let both = compare(&files);
    assert!(both > 1000, "only {both} of {} files are read by both", files.len());
}

/// The seeds that are zip archives of stored records.
fn archives() -> Vec<(String, Vec<u8>)> {
    let kept = |name: &String| ["views.pt", "checkpoint.pt", "plain.npz"].contains(&name.as_str());
    seeds().into_iter().filter(|(name, _)| kept(name)).collect()
}

/// The first record that holds elements.
fn elements(records: &[Record]) -> usize {
    let is = |record: &Record| {
        record.header.name.contains("/data/") || record.header.name.ends_with(".npy")
    };
    records.iter().position(is).unwrap()
}

/// Archives that two readers could read differently, by what is wrong with them.
fn contradictions(seed: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let records = unpack(seed);
    let at = elements(&records);
    let name = records[at].header.name.clone();
    let mut other = records[at].data.clone();
    *other.last_mut().unwrap() ^= 0x40;
    let other = Record::new(&name, &other);
    let root = name.split('/').next().unwrap();
    let changed = |change: &dyn Fn(&mut Record)| {
        let mut records = records.clone();
        change(&mut records[at]);
        packed(&records)
    };
    let file = packed(&records);
    let with_first = |record: Record| packed(&[&[record], &records[..]].concat());
    let with_last = |record: Record| packed(&[&records[..], &[record]].concat());
    let mut all = vec![
        ("twice-first", with_first(other.clone())),
        ("twice-last", with_last(other.clone())),
        ("twice-same", with_last(records[at].clone())),
        ("header-name", changed(&|record| record.header.name = "x".repeat(name.len()))),
        ("header-crc", changed(&|record| record.header.crc ^= 1)),
        ("header-size", changed(&|record| record.header.size -= 1)),
        ("header-method", changed(&|record| record.header.method = 8)),
        (
            "encrypted",
            changed(&|record| {
                record.header.flags = 1;
                record.directory.flags = 1;
            }),
        ),
        ("directory-size", changed(&|record| record.directory.size -= 1)),
        ("directory-method", changed(&|record| record.directory.method = 8)),
        ("directory-name", changed(&|record| record.directory.name.push('x'))),
        ("overlap", pack(&records, |i, places| places[if i == 1 { 0 } else { i }])),
        ("no-first", pack(&records[..], |i, places| if i == 0 { places[1] } else { places[i] })),
        ("behind", [&file[..], b"\0"].concat()),
        ("before", [b"PK\x03\x04", &file[..]].concat()),
        // Of a .npz file, an archive of nothing is the first.
        ("two-archives", [&packed(&records[..at])[..], &file].concat()),
        ("archive-behind", [&file[..], &packed(std::slice::from_ref(&other))].concat()),
        ("nul", with_last(Record::new(&format!("{name}\0.npy"), b"1"))),
    ];
    // Which of the two PyTorch takes depends on the number of records.
    for (more, what) in ["twice-1", "twice-2", "twice-3", "twice-4"].into_iter().enumerate() {
        let padding: Vec<Record> =
            (0..=more).map(|i| records[at].named(&format!("{root}/z{i}.npy"))).collect();
        all.push((what, packed(&[std::slice::from_ref(&other), &records, &padding].concat())));
    }
    let end = file.len() - 22;
    let mut fewer = file.clone();
    fewer[end + 8] -= 1;
    fewer[end + 10] -= 1;
    all.push(("fewer", fewer));
    if !name.ends_with(".npy") {
        let pickle = records.iter().find(|r| r.header.name.ends_with("data.pkl")).unwrap();
        all.push(("folder-first", with_first(pickle.named("other/data.pkl"))));
        all.push(("folder-last", with_last(pickle.named("other/data.pkl"))));
        all.push(("folder-elements", with_first(records[at].named("other/data/0"))));
        all.push(("case", with_first(records[at].named(&format!("{root}/DATA/0")))));
        all.push(("beside", with_first(records[at].named("note"))));
        all.push(("pickle-behind", with_pickle(seed, |pickle| pickle.push(b'.'))));
        let longer = |count: usize| {
            let mut records = records.clone();
            let data = [&records[at].data[..], &vec![0; count]].concat();
            records[at] = Record::new(&name, &data);
            packed(&records)
        };
        all.push(("longer", longer(4)));
        all.push(("longer-by-less", longer(1)));
        let replaced = |from: &[u8], to: &[u8]| {
            with_pickle(seed, |pickle| {
                let at = pickle.windows(from.len()).rposition(|part| part == from).unwrap();
                pickle.splice(at..at + from.len(), to.iter().copied());
            })
        };
        // The last two tensors' keys and names.
        all.push(("same-key", replaced(b"X\x01\0\0\0d", b"X\x01\0\0\0c")));
        all.push(("two-types", replaced(b"X\x01\0\0\x002", b"X\x01\0\0\x000")));
    }
    all
}

/// Archives that all readers read, changed in what says nothing of the tensors.
fn harmless(seed: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let records = unpack(seed);
    let file = packed(&records);
    let mut comment = file.clone();
    let end = comment.len() - 2;
    comment[end] = 5;
    comment.extend(b"hello");
    let mut reversed = records.clone();
    reversed.reverse();
    let mut later = records.clone();
    for record in &mut later {
        // Sizes and checksums behind the data.
        (record.header.flags, record.directory.flags) = (8, 8);
        (record.header.crc, record.header.size) = (0, 0);
    }
    vec![
        ("packed", file),
        ("comment", comment),
        ("reversed", packed(&reversed)),
        ("sizes-behind", packed(&later)),
    ]
}

#[test]
fn an_archive_that_two_readers_could_read_differently_is_refused() {
    for (name, seed) in archives() {
        for (what, file) in contradictions(&seed) {
            assert!(found(&file).is_none(), "{what} of {name} is read");
        }
        for (what, file) in harmless(&seed) {
            assert_eq!(found(&file), found(&seed), "{what}: {:?}", read_weights(&file).err());
        }
    }
}
