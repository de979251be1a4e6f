//! Archives whose module is more than its `forward`: hooks, functions that set its attributes, damage.

mod common;

use std::io::Cursor;

use tensor_files::ReadError;
use torchscript_forward::{Dtype, Expected, ForwardError, ScriptModule, TensorSpec};

use common::{compare, file, linear, read, with_code, with_lines, with_records};

const SETSTATE: &str = "  def __setstate__(self, state: Tuple[Tensor, bool]) -> NoneType:\n    \
                        self.training = (state)[1]\n    return None\n";

#[test]
fn a_module_with_hooks_is_never_equal() {
    let expected = linear(&["fc"]);
    // A method, so that hooks of the submodule are looked for, too.
    let called = "    return (self.fc).forward(x)\n";
    let method = "  def forward(self, x: Tensor) -> Tensor:\n    \
                  return torch.linear(x, self.weight, self.bias)\n";
    let plain = with_lines(&file(&expected, called), "Layer1_fc", method);
    assert_eq!(read(&plain).compare(&expected), Ok(()));
    for class in ["Net", "Layer1_fc"] {
        for hooks in ["__forward_hooks__", "__forward_pre_hooks__"] {
            let none = with_lines(&plain, class, &format!("  {hooks} = []\n"));
            assert_eq!(read(&none).compare(&expected), Ok(()), "{class} {hooks}");
            let hooked = with_lines(&plain, class, &format!("  {hooks} = [\"hook\", ]\n"));
            let error = read(&hooked).compare(&expected).unwrap_err();
            let said = format!("__torch__.{class} has {hooks}");
            assert_eq!(error, ForwardError::NotFollowed(said), "{class} {hooks}");
        }
    }
}

#[test]
fn a_module_that_sets_its_attributes_itself_is_never_equal() {
    let expected = linear(&["fc"]);
    // The weights of the submodule are read without a call of it.
    let plain = file(&expected, &expected.forward);
    assert_eq!(read(&plain).compare(&expected), Ok(()));
    for class in ["Net", "Layer1_fc"] {
        for method in ["__setstate__", "__getstate__"] {
            let lines = SETSTATE.replace("__setstate__", method);
            let module = read(&with_lines(&plain, class, &lines));
            let said = module.compare(&expected).unwrap_err().to_string();
            let expected = format!(
                "__torch__.{class} sets its attributes by a function of its own ({method})"
            );
            assert_eq!(said, expected);
        }
    }
}

#[test]
fn a_class_that_is_not_defined_is_never_equal() {
    let expected = linear(&["fc"]);
    let renamed = with_code(&file(&expected, &expected.forward), |text| {
        text.replace("class Layer1_fc(", "class Other(")
    });
    let said = read(&renamed).compare(&expected).unwrap_err().to_string();
    assert_eq!(said, "__torch__.Layer1_fc is not defined in it");
}

#[test]
fn a_type_that_is_not_the_networks_is_known() {
    let mut expected = linear(&["fc"]);
    let (name, dtype) = ("count".into(), Dtype::I64);
    expected.state.push(TensorSpec { name, dtype, shape: Vec::new() });
    let linear = expected.forward.clone();
    // float32 is 6.
    let branch = |of: &str| {
        format!(
            "    if torch.eq(ops.prim.dtype({of}), 6):\n      pass\n    else:\n      x = torch.tanh(x)\n{linear}"
        )
    };
    assert_eq!(compare(&expected, &branch("x")), Ok(()));
    for of in ["self.count", "torch.neg(self.count)"] {
        let said = compare(&expected, &branch(of)).unwrap_err().to_string();
        assert_eq!(said, "it asks for the dtype of a tensor", "{of}");
    }
    // In a network of float16, a conversion to float32 is an operation.
    expected.dtype = Dtype::F16;
    for spec in &mut expected.state {
        spec.dtype = expected.dtype;
    }
    let converted = |code: i64| format!("    x = torch.to(x, {code})\n{linear}");
    assert_eq!(compare(&expected, &converted(5)), Ok(()));
    let said = compare(&expected, &converted(6)).unwrap_err().to_string();
    assert!(said.contains("its operation 1 is to(6)"), "{said}");
}

#[test]
fn an_archive_that_can_be_read_in_two_ways_is_refused() {
    let expected = linear(&["fc"]);
    let plain = file(&expected, &expected.forward);
    let twice = with_records(&plain, |records| {
        let (name, code) = records.iter().find(|(name, _)| name.ends_with(".py")).unwrap();
        records.push((name.replace("__torch__.py", "__TORCH__.py"), code.clone()));
    });
    let outside = with_records(&plain, |records| {
        records.push(("other/code/__torch__.py".into(), Vec::new()));
    });
    for (file, part) in [(twice, "twice"), (outside, "lies outside its folder")] {
        let error = ScriptModule::read(Cursor::new(&file)).unwrap_err();
        assert!(matches!(&error, ReadError::Zip(what) if what.contains(part)), "{error}");
    }
}

#[test]
fn a_truncated_archive_is_an_error() {
    let expected = linear(&["fc"]);
    let file = file(&expected, &expected.forward);
    for length in 0..file.len() {
        assert!(ScriptModule::read(Cursor::new(&file[..length])).is_err(), "{length} bytes");
    }
}

#[test]
fn a_module_without_forward_or_without_code_has_no_forward_pass() {
    let expected = linear(&["fc"]);
    let plain = file(&expected, &expected.forward);
    assert_eq!(read(&plain).has_forward(), Ok(true));
    let renamed = with_code(&plain, |text| text.replace("def forward(", "def other("));
    assert_eq!(read(&renamed).has_forward(), Ok(false));
    let damaged = with_code(&plain, |text| format!("{text}class"));
    let error = read(&damaged).has_forward().unwrap_err().to_string();
    assert!(error.starts_with("the code of __torch__ cannot be read ("), "{error}");
}

#[test]
fn an_expected_forward_pass_that_cannot_be_followed_is_an_error() {
    let expected = linear(&["fc"]);
    let module = read(&file(&expected, &expected.forward));
    for forward in ["", "    with x:\n      pass\n", "    return\n", "def f(x):\n  return x\n", "("]
    {
        let expected = Expected { forward: forward.into(), ..expected.clone() };
        let error = module.compare(&expected).unwrap_err().to_string();
        assert!(error.starts_with("the expected forward pass: "), "{forward:?}: {error}");
    }
}
