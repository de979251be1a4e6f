//! Checks the code of TorchScript files: `cargo run --example audit -- model.pt`.

use std::fs::File;

use torchscript_forward::ScriptModule;

fn main() {
    for path in std::env::args().skip(1) {
        let module = File::open(&path).map_err(Into::into).and_then(ScriptModule::read);
        match module.map(|module| module.check_operations()) {
            Ok(Ok(facts)) => println!("{path}: {facts:?}"),
            Ok(Err(error)) => println!("{path}: REFUSED {error}"),
            Err(error) => println!("{path}: UNREADABLE {error}"),
        }
    }
}
