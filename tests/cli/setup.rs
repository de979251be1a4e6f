//! The set-up scripts: a missing prerequisite gives one sentence that says what to install.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common;

/// A PATH that holds the shell's own tools and the given fakes, and nothing else.
fn path_with(fakes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for tool in ["sh", "dirname", "cmp", "grep", "readlink", "ln", "mkdir", "cp", "mv", "rm", "id"]
    {
        let found = ["/bin", "/usr/bin"].map(|bin| Path::new(bin).join(tool));
        let found = found.into_iter().find(|path| path.exists()).unwrap();
        symlink(found, folder.path().join(tool)).unwrap();
    }
    for (name, script) in fakes {
        let path = folder.path().join(name);
        // A fake takes the place of the real one.
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// What `setup/venv.sh` installs.
const ENVIRONMENTS: [&str; 2] = ["venv.sh libtorch", "venv.sh reference"];

/// Runs `setup/<script>`, a name and arguments, in an empty project that has the requirements and nothing else.
fn run(script: &str, fakes: &[(&str, &str)]) -> Output {
    let path = path_with(fakes);
    let project = tempfile::tempdir().unwrap();
    let requirements = project.path().join("tests/reference");
    fs::create_dir_all(&requirements).unwrap();
    fs::write(requirements.join("requirements.txt"), "torch==2.13.0\n").unwrap();
    let (script, arguments) = script.split_once(' ').unwrap_or((script, ""));
    Command::new("/bin/sh")
        .arg(common::root().join("setup").join(script))
        .args(arguments.split_whitespace())
        .current_dir(project.path())
        .env_clear()
        .env("PATH", path.path())
        .output()
        .unwrap()
}

/// The last line on stderr of a script that must fail.
fn sentence(output: &Output) -> String {
    assert!(!output.status.success(), "it should fail");
    String::from_utf8_lossy(&output.stderr).trim_end().lines().last().unwrap_or_default().into()
}

#[test]
fn without_rust_the_sentence_names_rustup() {
    let said = sentence(&run("prerequisites.sh", &[("c++", "")]));
    assert!(said.starts_with("error: Rust is missing") && said.contains("rustup"), "{said}");
}

#[test]
fn without_a_compiler_the_sentence_names_gplusplus() {
    let said = sentence(&run("prerequisites.sh", &[("cargo", "")]));
    assert!(said.contains("C++ compiler is missing") && said.contains("g++"), "{said}");
}

#[test]
fn with_both_nothing_is_said() {
    let output = run("prerequisites.sh", &[("cargo", ""), ("g++", "")]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn without_python_the_sentence_names_the_version() {
    for environment in ENVIRONMENTS {
        let said = sentence(&run(environment, &[]));
        assert!(said.contains("Python 3.11 to 3.14 is missing"), "{said}");
    }
}

#[test]
fn an_old_python_is_passed_over() {
    for environment in ENVIRONMENTS {
        let said = sentence(&run(environment, &[("python3", "exit 1")]));
        assert!(said.contains("Python 3.11 to 3.14 is missing"), "{said}");
    }
}

#[test]
fn without_the_venv_module_the_sentence_names_its_package() {
    let fake = r#"case "$2" in *ensurepip*) exit 1;; esac"#;
    for environment in ENVIRONMENTS {
        let said = sentence(&run(environment, &[("python3", fake)]));
        assert!(said.contains("python3-venv"), "{said}");
    }
}

#[test]
fn a_libtorch_that_is_none_is_named() {
    let said = sentence(&run("build.sh", &[("cargo", "exit 101")]));
    assert!(said.contains("no libtorch"), "{said}");
}

#[test]
fn without_root_and_network_the_data_cannot_be_had_and_the_sentence_says_so() {
    let project = tempfile::tempdir().unwrap();
    let release = project.path().join("target/release");
    fs::create_dir_all(&release).unwrap();
    let fakes = path_with(&[("apt-get", "exit 100"), ("id", "echo 1000")]);
    let stitch = release.join("stitch");
    fs::write(&stitch, "#!/bin/sh\nexit 2\n").unwrap();
    fs::set_permissions(&stitch, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("/bin/sh")
        .arg(common::root().join("setup/data.sh"))
        .current_dir(project.path())
        .env_clear()
        .env("PATH", fakes.path())
        .output()
        .unwrap();
    assert!(sentence(&output).contains("Fashion-MNIST could not be downloaded: check the network"));
}

#[test]
fn without_network_the_sentence_says_so() {
    // A Python whose `venv` makes a pip that cannot reach anything.
    let fake = r#"case "$*" in
        *--clear*) mkdir -p .venv/bin; printf '#!/bin/sh\nexit 1\n' > .venv/bin/python
            /bin/chmod +x .venv/bin/python;;
    esac"#;
    for environment in ENVIRONMENTS {
        let said = sentence(&run(environment, &[("python3", fake)]));
        assert!(said.contains("could not be installed") && said.contains("network"), "{said}");
    }
}
