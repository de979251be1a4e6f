//! A corpus of hostile files: none panics, hangs, or takes more than twice its size in memory (or
//! 64 MB, where it is smaller than 32). A binary of its own, since it counts all memory.

use std::io::{self, Cursor, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use tensor_files::{
    Dtype, Metadata, NamedTensor, ReadError, TensorFile, npz, safetensors, state_dict, torchscript,
};
use test_corpus::{message, program, record, tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Nothing else may take memory while it is counted: every test begins with this.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory that a small file may take.
const SMALL: usize = 64 << 20;
/// No file takes longer; far more than any does, and far less than for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// Reads a file to its end, as `parity` does, a tensor after the other.
fn read(bytes: &[u8]) -> Result<Vec<String>, ReadError> {
    MEMORY.reset_peak_usage();
    let (before, start) = (MEMORY.current_usage(), Instant::now());
    let read = all_tensors(bytes);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= SMALL.max(2 * bytes.len()), "{taken} bytes for a file of {}", bytes.len());
    assert!(start.elapsed() < LONGEST, "{:?}", start.elapsed());
    read
}

fn all_tensors(bytes: &[u8]) -> Result<Vec<String>, ReadError> {
    let mut file = TensorFile::open(Cursor::new(bytes))?;
    for i in 0..file.specs().len() {
        io::copy(&mut file.stream(i)?, &mut io::sink())?;
    }
    Ok(file.specs().iter().map(|spec| spec.name.clone()).collect())
}

#[track_caller]
fn refused(bytes: &[u8], wanted: &str) {
    let error = read(bytes).expect_err("it is refused");
    let said = message(&error);
    assert!(said.contains(wanted), "{said:?} does not say {wanted:?}");
}

/// Small tensors of every type.
fn tensors() -> Vec<NamedTensor> {
    let all = Dtype::ALL.into_iter().enumerate();
    all.map(|(i, dtype)| tensor(&format!("layer.{dtype}"), dtype, &[i, 3])).collect()
}

/// A file of each format.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let tensors = tensors();
    let is_of_numpy = |tensor: &&NamedTensor| npz::write(std::slice::from_ref(*tensor)).is_ok();
    let of_numpy: Vec<_> = tensors.iter().filter(is_of_numpy).cloned().collect();
    let is_safe = |tensor: &&NamedTensor| ![Dtype::C32, Dtype::C128].contains(&tensor.dtype);
    let safe: Vec<_> = tensors.iter().filter(is_safe).cloned().collect();
    vec![
        ("state_dict", state_dict::write(&tensors).unwrap()),
        ("torchscript", torchscript::write(&program(), &tensors).unwrap()),
        ("safetensors", safetensors::write(&safe, &Metadata::new()).unwrap()),
        ("npz", npz::write(&of_numpy).unwrap()),
        (
            "npy",
            record(
                &npz::write(&of_numpy).unwrap(),
                &format!("{}.npy", of_numpy[of_numpy.len() - 1].name),
            ),
        ),
        ("legacy", legacy(&view(b"K\x02", b"K\x03K\x02", b"K\x01K\x04"))),
    ]
}

/// A file of the format before PyTorch 1.6 of this pickle, with a storage of 64 bytes.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    test_corpus::legacy_of(pickle, &[7; 64])
}

/// An archive of records, as they are or deflated.
fn archive(records: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in records {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A state_dict archive of this pickle, with a storage of 64 bytes.
fn pickled(pickle: &[u8]) -> Vec<u8> {
    let records = [("a/data.pkl", pickle), ("a/data/0", &[0; 64][..])];
    archive(&records, CompressionMethod::Stored)
}

/// A pickle of `{"w": tensor}` with this offset, shape and stride, in opcodes that push them.
fn view(offset: &[u8], shape: &[u8], stride: &[u8]) -> Vec<u8> {
    view_of(16, offset, shape, stride)
}

/// As [`view`], into a storage of `count` elements.
fn view_of(count: i32, offset: &[u8], shape: &[u8], stride: &[u8]) -> Vec<u8> {
    let start = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((\
                  X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ";
    let count = count.to_le_bytes();
    let start = [&start[..], &count, b"tQ", offset, b"("].concat();
    [&start[..], shape, b"t(", stride, b"t\x89NtRs."].concat()
}

#[test]
fn a_well_formed_file_of_each_format_is_read() {
    let _alone = alone();
    for (format, file) in seeds() {
        let wanted = match format {
            "npz" => 14,
            "npy" | "legacy" => 1,
            "safetensors" => 19,
            _ => 21,
        };
        assert_eq!(read(&file).unwrap().len(), wanted, "{format}");
    }
    assert_eq!(read(&pickled(&view(b"K\x00", b"K\x04K\x04", b"K\x04K\x01"))).unwrap(), ["w"]);
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let _alone = alone();
    for (format, file) in seeds() {
        for length in 0..file.len() {
            assert!(read(&file[..length]).is_err(), "{format}, {length} of {} bytes", file.len());
        }
    }
}

#[test]
fn no_flipped_bit_panics_and_one_in_the_weights_of_an_archive_is_noticed() {
    let _alone = alone();
    for (format, file) in seeds() {
        let mut damaged = file.clone();
        for at in 0..file.len() {
            for bit in 0..8 {
                damaged[at] ^= 1 << bit;
                let _ = read(&damaged);
                damaged[at] ^= 1 << bit;
            }
        }
        if ["safetensors", "npy", "legacy"].contains(&format) {
            continue; // The format has no checksums.
        }
        let weights = tensors().into_iter().find(|tensor| tensor.dtype == Dtype::F64);
        let weights = weights.unwrap().data;
        let at = file.windows(weights.len()).position(|bytes| bytes == weights).unwrap();
        damaged[at + 100] ^= 1;
        refused(&damaged, "it cannot be read");
    }
}

#[test]
fn a_pickle_that_would_run_something_is_data_and_refused_by_its_name() {
    let _alone = alone();
    refused(
        &pickled(b"\x80\x02cos\nsystem\n(X\x02\0\0\0lstR."),
        "an object of the class os.system",
    );
    refused(
        &pickled(b"\x80\x04\x8c\x05posix\x8c\x06system\x93."),
        "an object of the class posix.system",
    );
    refused(&pickled(b"\x80\x02cbuiltins\neval\n."), "an object of the class eval");
    refused(&pickled(b"\x80\x02(X\x02\0\0\0lsios\nsystem\n."), "an object of the class os.system");
}

#[test]
fn views_beyond_their_storage_are_refused() {
    let _alone = alone();
    let beyond = "reaches beyond its storage";
    let minus_one = b"J\xff\xff\xff\xff";
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    refused(&pickled(&view(b"K\x00", b"K\x04K\x04", &[&minus_one[..], b"K\x01"].concat())), beyond);
    refused(&pickled(&view(minus_one, b"K\x04", b"K\x01")), beyond);
    refused(&pickled(&view(b"K\x01", b"K\x10", b"K\x01")), beyond);
    refused(&pickled(&view(b"K\x00", minus_one, b"K\x01")), beyond);
    refused(&pickled(&view(b"K\x00", huge, b"K\x00")), "16 times");
    refused(&pickled(&view(b"K\x00", &[&huge[..], huge].concat(), b"K\x01K\x01")), beyond);
    refused(&pickled(&view(b"K\x00", b"K\x02K\x02", &[&huge[..], huge].concat())), beyond);
    // More elements than the storage has, all of them the same: a few are read, many are not.
    assert_eq!(read(&pickled(&view(b"K\x00", b"K\x20K\x02", b"K\x00K\x00"))).unwrap(), ["w"]);
    let many = pickled(&view(b"K\x00", b"M\xff\xffM\xff\xff", b"K\x00K\x00"));
    refused(&many, "no more than 16 times as many are read");
    refused(&pickled(&view(b"K\x00", b"K\x04", b"K\x01K\x01")), beyond);
}

#[test]
fn values_that_contain_themselves_or_nest_deeply_end() {
    let _alone = alone();
    // A dict that is its own state_dict; a module that is its own submodule.
    let cycle = pickled(b"\x80\x02}q\x00X\x0a\0\0\0state_dicth\x00s.");
    refused(&cycle, "it holds no tensor");
    let cycle = pickled(b"\x80\x02c__torch__\nM\n)\x81q\x00}X\x01\0\0\0ah\x00sb.");
    assert_eq!(read(&cycle).unwrap(), [""; 0]);
    // Each module holds the one before it twice: 2^60 ways through it.
    let mut pickle = b"\x80\x02c__torch__\nM\n)\x81}bq\x00".to_vec();
    for i in 0..60u8 {
        let (before, this) = (i, i + 1);
        pickle.extend(b"c__torch__\nM\n)\x81}X\x01\0\0\0ah");
        pickle.extend([before]);
        pickle.extend(b"sX\x01\0\0\0bh");
        pickle.extend([before]);
        pickle.extend(b"sbq");
        pickle.extend([this]);
    }
    pickle.push(b'.');
    refused(&pickled(&pickle), "too many");
    for nested in [b"(".repeat(1 << 20), b"]".repeat(1 << 20), b")\x85".repeat(1 << 20)] {
        let _ = read(&pickled(&[&b"\x80\x02"[..], &nested, b"."].concat()));
    }
    let nested = [b"\x80\x02)".to_vec(), b"\x85".repeat(100_000), b".".to_vec()].concat();
    refused(&pickled(&nested), "it holds no tensor");
}

#[test]
fn a_small_pickle_cannot_ask_for_much_memory() {
    let _alone = alone();
    for opcode in [&b"N"[..], b"}", b"(", b"Nq\x00", b"K\x01K\x02\x86", b"X\0\0\0\0"] {
        let pickle = [b"\x80\x02".to_vec(), opcode.repeat((8 << 20) / opcode.len())].concat();
        assert!(read(&pickled(&pickle)).is_err());
    }
    refused(&pickled(&b"N".repeat(8 << 20)), "of memory");
    // Memo slots, one after the other.
    let mut pickle = b"\x80\x02N".to_vec();
    (0..2_000_000u32).for_each(|slot| {
        pickle.push(b'r');
        pickle.extend(slot.to_le_bytes());
    });
    refused(&pickled(&pickle), "of memory");
    // A string of 4 GB, and an integer of 255 bytes, which is none of a tensor's.
    refused(&pickled(b"\x80\x02X\xff\xff\xff\xff."), "it ends too early");
    refused(&pickled(&[b"\x80\x02\x8a\xff".to_vec(), vec![1; 255], b".".to_vec()].concat()), "int");
}

#[test]
fn one_thing_named_many_times_over_is_not_looked_at_as_often() {
    let _alone = alone();
    // A module whose attributes are one submodule of 1,000 tensors, 380 times.
    let tensor = view(b"K\x00", b"K\x01".repeat(16).as_slice(), b"K\x01".repeat(16).as_slice());
    let tensor = tensor.strip_prefix(b"\x80\x02}X\x01\0\0\0w").unwrap();
    let tensor = tensor.strip_suffix(b"s.").unwrap();
    let names = |count: u32, value: &[u8]| -> Vec<u8> {
        let name = |i: u32| [b"X\x04\0\0\0", format!("{i:04x}").as_bytes(), value].concat();
        (0..count).flat_map(name).collect()
    };
    let module = b"c__torch__\nM\n)\x81}(".as_slice();
    let pickle =
        [b"\x80\x02", tensor, b"q\x00", module, &names(1000, b"h\x00"), b"ubq\x01"].concat();
    let pickle = [&pickle, module, &names(380, b"h\x01"), b"ub."].concat();
    refused(&pickled(&pickle), "too many");
    // 2,000 names of 1 MB of storage.
    let record = vec![0; 1 << 20];
    let start = view_of(1 << 18, b"K\x00", b"J\0\0\x04\0", b"K\x01");
    let tensor = start.strip_prefix(b"\x80\x02}X\x01\0\0\0w").unwrap();
    let tensor = tensor.strip_suffix(b"s.").unwrap();
    let pickle = [b"\x80\x02", tensor, b"q\x00}(", &names(2000, b"h\x00"), b"u."].concat();
    let records = [("a/data.pkl", &pickle[..]), ("a/data/0", &record)];
    refused(&archive(&records, CompressionMethod::Stored), "16 times");
    // One long string as the name of many globals, one long tuple as many persistent ids.
    let mut long = b"\x80\x02X\0\0\x80\0__torch__.".to_vec();
    long.resize(long.len() + (8 << 20) - 10, b'n');
    let pickle = [&long[..], b"q\x00", &b"h\x00h\x00\x93".repeat(100_000), b"."].concat();
    assert!(read(&pickled(&pickle)).is_err());
    let tuple = [b"\x80\x02N(", &b"N".repeat(100_000)[..], b"tq\x00"].concat();
    refused(&pickled(&[&tuple[..], &b"h\x00Q".repeat(100_000), b"."].concat()), "no storage");
}

#[test]
fn a_large_tensor_in_another_order_takes_no_more_than_twice_its_size() {
    let _alone = alone();
    let record = vec![1; 40 << 20];
    let pickle = view_of(10 << 20, b"K\x00", b"J\0\x0a\0\0J\0\x10\0\0", b"K\x01J\0\x0a\0\0");
    let records = [("a/data.pkl", &pickle[..]), ("a/data/0", &record)];
    let file = archive(&records, CompressionMethod::Stored);
    drop(record);
    assert_eq!(read(&file).unwrap(), ["w"]);
}

#[test]
fn one_long_name_for_many_tensors_is_refused() {
    let _alone = alone();
    // A module of 1,000 letters with 200,000 tensors of short names, all of them one tensor.
    let tensor = view(b"K\x00", b"K\x04", b"K\x01");
    let tensor = tensor.strip_prefix(b"\x80\x02}X\x01\0\0\0w").unwrap();
    let tensor = tensor.strip_suffix(b"s.").unwrap();
    let mut pickle = b"\x80\x02".to_vec();
    pickle.extend(tensor);
    pickle.extend(b"q\x00c__torch__\nM\n)\x81}X\xe8\x03\0\0");
    pickle.extend(b"n".repeat(1000));
    pickle.extend(b"c__torch__\nM\n)\x81}(");
    for i in 0..200_000u32 {
        let name = format!("{i:x}");
        pickle.extend(b"X");
        pickle.extend((name.len() as u32).to_le_bytes());
        pickle.extend(name.bytes());
        pickle.extend(b"h\x00");
    }
    pickle.extend(b"ubsb.");
    assert!(read(&pickled(&pickle)).is_err());
}

#[test]
fn records_that_are_missing_or_elsewhere_are_refused_and_deflated_ones_read() {
    let _alone = alone();
    let pickle = view(b"K\x00", b"K\x04", b"K\x01");
    let without = archive(&[("a/data.pkl", &pickle)], CompressionMethod::Stored);
    refused(&without, "a/data/0");
    let records = [("a/data.pkl", &pickle[..]), ("a/data/0", &[0; 64])];
    assert_eq!(read(&archive(&records, CompressionMethod::Deflated)).unwrap(), ["w"]);
    // Names that lead out of the archive are names in it, nothing else.
    let text: String = pickle.iter().map(|&byte| char::from(byte)).collect();
    let outside = text.replace("X\x01\0\0\x000X\x03", "X\x06\0\0\x00../../X\x03");
    let outside: Vec<u8> = outside.chars().map(|byte| byte as u8).collect();
    refused(&pickled(&outside), "a/data/../..");
    let traversal = [("../../data.pkl", &pickle[..]), ("../../data/0", &[0; 64])];
    refused(&archive(&traversal, CompressionMethod::Stored), "not a file of tensors");
    let ordered = |order: &[u8]| {
        let records = [("a/data.pkl", &pickle[..]), ("a/data/0", &[0; 64]), ("a/byteorder", order)];
        archive(&records, CompressionMethod::Stored)
    };
    assert_eq!(read(&ordered(b"big")).unwrap(), ["w"]);
    refused(&ordered(b"middle"), "byte order");
}

#[test]
fn entries_that_overlap_are_read_as_what_they_say_or_refused() {
    let _alone = alone();
    // The directory's second entry is pointed at the first one's bytes.
    let file = seeds().swap_remove(0).1;
    let directory = file.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let entries: Vec<usize> =
        (directory..file.len() - 4).filter(|&at| file[at..].starts_with(b"PK\x01\x02")).collect();
    for &entry in &entries[1..] {
        let mut overlapping = file.clone();
        let first = file[directory + 42..directory + 46].to_vec();
        overlapping[entry + 42..entry + 46].copy_from_slice(&first);
        let _ = read(&overlapping);
    }
}

#[test]
fn an_archive_of_too_many_entries_is_refused_before_room_is_made_for_them() {
    let _alone = alone();
    let file = seeds().swap_remove(0).1;
    let end = file.len() - 22;
    for entries in [1 << 20, 1 << 40, u64::MAX] {
        let mut zip64 = file[..end].to_vec();
        zip64.extend(b"PK\x06\x06");
        zip64.extend(44u64.to_le_bytes());
        zip64.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        zip64.extend(entries.to_le_bytes());
        zip64.extend(entries.to_le_bytes());
        zip64.extend(u64::MAX.to_le_bytes());
        zip64.extend((end as u64).to_le_bytes());
        zip64.extend(b"PK\x06\x07\0\0\0\0");
        zip64.extend((end as u64).to_le_bytes());
        zip64.extend([1, 0, 0, 0]);
        zip64.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
        refused(&zip64, "entries");
        // The same, with the record that counts them elsewhere.
        let at = zip64.len() - 22 - 12;
        zip64[at..at + 8].fill(0);
        refused(&zip64, "directory");
    }
}

/// `.npy` bytes with this header text and `data`.
fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn hostile_arrays_are_refused() {
    let _alone = alone();
    let stored = |array: &[u8]| archive(&[("w.npy", array)], CompressionMethod::Stored);
    let header =
        |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    assert_eq!(read(&stored(&npy(1, &header("(2,)"), &[0; 8]))).unwrap(), ["w"]);
    assert_eq!(read(&npy(1, &header("(2,)"), &[0; 8])).unwrap(), ["tensor"]);
    for shape in ["(3,)", "(-2,)", "(4611686018427387904, 4)", "(0, 18446744073709551615)", "(2"] {
        assert!(read(&stored(&npy(1, &header(shape), &[0; 8]))).is_err(), "{shape}");
        assert!(read(&npy(1, &header(shape), &[0; 8])).is_err(), "{shape} by itself");
    }
    let nested = format!("{}1{}", "(".repeat(200), ",)".repeat(200));
    refused(&stored(&npy(1, &header(&nested), &[])), "a size of 64 bits is expected");
    let mut long = npy(2, &header("(2,)"), &[0; 8]);
    long[8..12].fill(0xff);
    refused(&stored(&long), "a header of 4294967295 bytes");
    let many = format!("({})", "0,".repeat(100));
    refused(&stored(&npy(1, &header(&many), &[])), "100 dimensions");
    refused(&stored(&npy(1, &header(&" ".repeat(2000)), &[])), "a header of");
    let objects = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n";
    assert!(read(&stored(&npy(1, objects, &[0; 8]))).is_err());
}

#[test]
fn a_zip_bomb_is_read_as_a_stream_and_a_wrong_length_is_noticed() {
    let _alone = alone();
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (200000000,), }\n";
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    zip.start_file("w.npy", options).unwrap();
    zip.write_all(&npy(1, header, &[])).unwrap();
    io::copy(&mut io::repeat(0).take(200_000_000), &mut zip).unwrap();
    let mut file = zip.finish().unwrap().into_inner();
    assert!(file.len() < 300_000, "{} bytes", file.len());
    assert_eq!(read(&file).unwrap(), ["w"]);
    // The same bytes said to be a hundredth of what they are.
    let length = (200_000_000 + 10 + header.len() as u32).to_le_bytes();
    let shorter = (2_000_000u32 + 10 + header.len() as u32).to_le_bytes();
    for at in 0..file.len() - 4 {
        if file[at..at + 4] == length {
            file[at..at + 4].copy_from_slice(&shorter);
        }
    }
    assert!(read(&file).is_err());
}

#[test]
fn what_must_be_unpacked_in_memory_to_be_read_is_limited() {
    let _alone = alone();
    let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 100000000), }\n";
    let array = npy(1, header, &vec![0; 200_000_000]);
    let file = archive(&[("w.npy", &array)], CompressionMethod::Deflated);
    drop(array);
    refused(&file, "w is compressed and not row-major");
    // A thousand tensors that are each the first element of one record of 8 MB.
    let tensor = view_of(2 << 20, b"K\x00", b"K\x01", b"K\x01");
    let tensor = tensor.strip_prefix(b"\x80\x02}X\x01\0\0\0w").unwrap();
    let tensor = tensor.strip_suffix(b"s.").unwrap();
    let name = |i: u32| [b"X\x04\0\0\0", format!("{i:04x}").as_bytes(), b"h\x00"].concat();
    let names: Vec<u8> = (0..1000).flat_map(name).collect();
    let pickle = [b"\x80\x02", tensor, b"q\x00}(", &names, b"u."].concat();
    let records = [("a/data.pkl", &pickle[..]), ("a/data/0", &vec![0; 8 << 20])];
    refused(&archive(&records, CompressionMethod::Deflated), "16 times");
    // A deflated pickle of zeros, which is longer than any that is read.
    let records = [("a/data.pkl", &vec![0; 100 << 20][..])];
    let file = archive(&records, CompressionMethod::Deflated);
    refused(&file, "a/data.pkl has 104857600 bytes");
}

#[test]
fn hostile_files_of_the_format_before_1_6_are_refused() {
    let _alone = alone();
    let good = legacy(&view(b"K\x00", b"K\x04", b"K\x01"));
    assert_eq!(read(&good).unwrap(), ["w"]);
    let at = good.len() - 64 - 8;
    for count in [17, 1 << 60, 1 << 62, u64::MAX] {
        let mut more = good.clone();
        more[at..at + 8].copy_from_slice(&u64::to_le_bytes(count));
        refused(&more, "it ends in its storage 0");
    }
    let mut fewer = good.clone();
    fewer[at] = 15;
    refused(&fewer, "4 bytes follow the storages");
    refused(&legacy(&view(b"K\x01", b"K\x10", b"K\x01")), "reaches beyond its storage");
    refused(&legacy(&view_of(99, b"K\x00", b"K\x04", b"K\x01")), "99 elements");
    refused(&legacy(b"\x80\x02}."), "nothing says of which type the storage 0 is");
    refused(&legacy(b"\x80\x02\xff."), "refused: pickle opcode 0xff");
    for length in [b"X\xff\xff\xff\xff", &b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"c"] {
        refused(&legacy(&[b"\x80\x02", length].concat()), "it ends in a pickle");
    }
    refused(
        &legacy(&[b"\x80\x02".to_vec(), b"N".repeat(8 << 20), b".".to_vec()].concat()),
        "of memory",
    );
}

#[test]
fn hostile_safetensors_headers_are_refused() {
    let _alone = alone();
    let file = |length: u64, header: &str, data: &[u8]| {
        [&length.to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    let of = |header: &str, data: &[u8]| file(header.len() as u64, header, data);
    let one = |shape: &str, offsets: &str| {
        format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}")
    };
    assert_eq!(read(&of(&one("[2]", "[0,8]"), &[0; 8])).unwrap(), ["w"]);
    for (shape, offsets) in [
        ("[3]", "[0,8]"),
        ("[2]", "[8,0]"),
        ("[2]", "[1,9]"),
        ("[-2]", "[0,8]"),
        ("[4611686018427387904,4]", "[0,0]"),
        ("[2]", "[0,18446744073709551615]"),
        ("[18446744073709551615,18446744073709551615]", "[0,8]"),
    ] {
        assert!(read(&of(&one(shape, offsets), &[0; 8])).is_err(), "{shape} {offsets}");
    }
    for length in [1 << 20, 1 << 62, u64::MAX] {
        assert!(read(&file(length, &one("[2]", "[0,8]"), &[0; 8])).is_err(), "{length}");
    }
    assert!(read(&of(&"[".repeat(1 << 20), &[])).is_err());
    assert!(read(&of(&"{\"a\":".repeat(1 << 18), &[])).is_err());
    // Just short of the longest header.
    let zeros = one(&format!("[{}0]", "0,".repeat((1 << 19) - 100)), "[0,0]");
    refused(&of(&zeros, &[]), "dimensions, where at most 16 are read");
    let metadata: String = (0..80_000).map(|i| format!("\"{i:x}\":\"\",")).collect();
    let metadata = format!("{{\"__metadata__\":{{{}}}}}", metadata.trim_end_matches(','));
    assert_eq!(read(&of(&metadata, &[])).unwrap(), [""; 0]);
    refused(&of(&one(&format!("[{}0]", "0,".repeat(1 << 19)), "[0,0]"), &[]), "a header of");
    let overflow = one("[2305843009213693951]", "[0,9223372036854775804]");
    assert!(read(&of(&overflow, &[])).is_err());
    // Two tensors that share their bytes.
    let two = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
               \"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    refused(&of(two, &[0; 8]), "invalid offset for tensor");
}
