//! A writer of zip archives that may contradict themselves.

use std::io::Read;

use flate2::Crc;

/// A record of an archive: what its header says, and what the directory says.
#[derive(Clone)]
pub struct Record {
    pub header: Said,
    pub directory: Said,
    pub data: Vec<u8>,
}

/// What is said of a record.
#[derive(Clone)]
pub struct Said {
    pub name: String,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub size: u32,
}

impl Record {
    /// A stored record of which both say the same.
    pub fn new(name: &str, data: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(data);
        let size = data.len() as u32;
        let said = Said { name: name.into(), flags: 0, method: 0, crc: crc.sum(), size };
        Self { header: said.clone(), directory: said, data: data.to_vec() }
    }

    /// The same of another name.
    pub fn named(&self, name: &str) -> Self {
        Self::new(name, &self.data)
    }
}

/// All records of an archive, unpacked.
pub fn unpack(file: &[u8]) -> Vec<Record> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(file)).unwrap();
    (0..zip.len())
        .map(|i| {
            let mut entry = zip.by_index(i).unwrap();
            let name = entry.name().unwrap().into_owned();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            Record::new(&name, &data)
        })
        .collect()
}

fn fields(said: &Said, stored: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(said.flags.to_le_bytes());
    bytes.extend(said.method.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(said.crc.to_le_bytes());
    let size = if stored == said.size as usize { stored as u32 } else { said.size };
    bytes.extend(size.to_le_bytes());
    bytes.extend(said.size.to_le_bytes());
    bytes.extend((said.name.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

/// The archive of these records. `place` may move where the directory says that a record lies.
pub fn pack(records: &[Record], place: impl Fn(usize, &[u32]) -> u32) -> Vec<u8> {
    let (mut file, mut places) = (Vec::new(), Vec::new());
    for record in records {
        places.push(file.len() as u32);
        file.extend(b"PK\x03\x04\x14\0");
        file.extend(fields(&record.header, record.data.len()));
        file.extend(record.header.name.bytes());
        file.extend(&record.data);
    }
    let from = file.len() as u32;
    for (i, record) in records.iter().enumerate() {
        file.extend(b"PK\x01\x02\x14\0\x14\0");
        file.extend(fields(&record.directory, record.data.len()));
        file.extend([0; 10]);
        file.extend(place(i, &places).to_le_bytes());
        file.extend(record.directory.name.bytes());
    }
    let size = file.len() as u32 - from;
    let count = (records.len() as u16).to_le_bytes();
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend([size.to_le_bytes(), from.to_le_bytes()].concat());
    file.extend([0; 2]);
    file
}

/// The archive of these records, each where it lies.
pub fn packed(records: &[Record]) -> Vec<u8> {
    pack(records, |i, places| places[i])
}
