//! Links from one file to another, for HTML.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The path of a file relative to a folder, with `/`; `None` if one of them does not exist or a name is not UTF-8.
pub fn relative(folder: &Path, file: &Path) -> Option<String> {
    let here = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let [from, to] = [here, file].map(|path| fs::canonicalize(path).ok());
    let (from, to): (PathBuf, PathBuf) = (from?, to?);
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Some(".."));
    let down = to.components().skip(shared).map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let parts: Option<Vec<&str>> = up.chain(down).collect();
    Some(parts?.join("/"))
}

/// A relative path as a URL.
pub fn url(path: &str) -> String {
    let mut url = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(byte.into());
            }
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_a_folder_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("runs/a");
        fs::create_dir_all(&run).unwrap();
        for name in ["page.html", "runs/a/page.html"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let link = |name: &str| relative(&run, &folder.path().join(name));
        assert_eq!(link("page.html").unwrap(), "../../page.html");
        assert_eq!(link("runs/a/page.html").unwrap(), "page.html");
        assert_eq!(link("missing.html"), None);
        assert_eq!(url("a b/50%#1:é.html"), "a%20b/50%25%231%3A%C3%A9.html");
    }
}
