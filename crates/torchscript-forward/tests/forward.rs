//! Forward passes of modules that are written here. Those that PyTorch writes are compared in `tests/library/nn/forward`.

mod common;

use torchscript_forward::{Argument, ForwardError, ForwardPass, NotFollowed, Operation};

use common::{compare, file, linear, read};

/// Compares a linear layer `fc` with a module of this body of `forward`.
fn compared(forward: &str) -> Result<(), ForwardError> {
    compare(&linear(&["fc"]), &indented(forward))
}

fn indented(forward: &str) -> String {
    forward.lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn layers_of_equal_shapes_are_told_apart_by_their_order() {
    let expected = linear(&["0", "1"]);
    assert_eq!(compare(&expected, &expected.forward), Ok(()));
    let swapped = expected.forward.replace("\"0\"", "first").replace("\"1\"", "\"0\"");
    let error = compare(&expected, &swapped.replace("first", "\"1\"")).unwrap_err().to_string();
    let said =
        "its operation 1 is linear(1.weight, 1.bias), where linear(0.weight, 0.bias) is expected";
    assert_eq!(error, said);
}

/// What the error of a forward pass says.
fn said(forward: &str) -> String {
    compared(forward).expect_err(forward).to_string()
}

#[test]
fn an_error_names_the_first_operation_that_differs() {
    let linear = "y = torch.linear(x, self.fc.weight, self.fc.bias)";
    assert_eq!(compared(&format!("{linear}\nreturn y")), Ok(()));
    assert_eq!(
        said("return torch.linear(torch.tanh(x), self.fc.weight, self.fc.bias)"),
        "its operation 1 is tanh, where linear(fc.weight, fc.bias) is expected"
    );
    assert_eq!(
        said(&format!("{linear}\nreturn torch.mul(y, 2)")),
        "it goes on with mul(other=2.0), where linear(fc.weight, fc.bias) is the last operation"
    );
    assert_eq!(said("return x"), "it ends before linear(fc.weight, fc.bias)");
}

#[test]
fn what_cannot_be_followed_is_never_equal() {
    let linear = "torch.linear(x, self.fc.weight, self.fc.bias)";
    for (forward, part) in [
        (
            format!("w = torch.mul_(self.fc.weight, 2)\nreturn {linear}"),
            "changes its own fc.weight",
        ),
        (format!("while True:\n  pass\nreturn {linear}"), "too many steps"),
        (
            format!("for i in range(9223372036854775807):\n  pass\nreturn {linear}"),
            "too many steps",
        ),
        (format!("with torch.no_grad():\n  y = {linear}\nreturn y"), "not understood"),
        (
            format!("if torch.gt(torch.sum(x), 0):\n  y = {linear}\nelse:\n  y = x\nreturn y"),
            "depends on a tensor",
        ),
        (
            format!("if torch.gt(torch.size(x, 0), 1):\n  y = {linear}\nelse:\n  y = x\nreturn y"),
            "torch.gt",
        ),
        (
            format!("y = torch.view(x, [1, 4])\nreturn {linear}").replace("linear(x", "linear(y"),
            "one number of images",
        ),
        (
            format!("y = torch.view(x, [-1, 2])\nreturn {linear}").replace("linear(x", "linear(y"),
            "mixes",
        ),
        (format!("self.fc = x\nreturn {linear}"), "changes its own attribute fc"),
        (
            format!("torch.save(x, \"file\")\ny = torch.from_file(\"file\")\nreturn {linear}"),
            "torch.from_file",
        ),
        (format!("y = (self).forward(x)\nreturn {linear}"), "nested too deeply"),
        (format!("return ({linear}, x)"), "returns a tuple"),
        ("return".into(), "returns None"),
        (format!("y = [x]\nz = torch.append(y, x)\nx = y[0]\nreturn {linear}"), "changes a list"),
        (format!("y = torch.neg(x, out=x)\nreturn {linear}"), "into another tensor"),
        (
            format!("y = [1]\nfor i in range(500000):\n  y = [y]\nreturn {linear}"),
            "nested too deeply",
        ),
        (format!("y = torch.a\nfor i in range(500000):\n  y = y.a\nreturn {linear}"), "too long"),
        (
            "y = torch.matmul(x, torch.transpose(self.fc.weight, 0, 0))\nreturn torch.add(y, self.fc.bias)".into(),
            "transpose(fc.weight, 0, 0)",
        ),
        ("return torch.linear(x, self.fc.weight, self.fc.bias, scale=2)".into(), "linear"),
    ] {
        let error = said(&forward);
        assert!(error.contains(part), "{forward}\n{error}");
    }
}

#[test]
fn code_that_is_damaged_is_no_panic() {
    let forward = "y = torch.linear(x, self.fc.weight, self.fc.bias)\nif False:\n  z = [1, 2]\nelse:\n  z = y\nreturn z";
    assert_eq!(compared(forward), Ok(()));
    // `y` and `z` may be cut or exchanged where the value stays the same.
    for at in 0..forward.len() {
        let _ = compared(&forward[..at]);
        for replacement in ["(", ")", "\n", "[", "0", ",", "=", "\"", ".", "  "] {
            let _ = compared(&format!("{}{replacement}{}", &forward[..at], &forward[at + 1..]));
        }
    }
}

#[test]
fn only_a_transposed_matrix_is_the_weight_of_a_product() {
    let product = |matrix: &str| {
        compared(&format!("y = torch.matmul(x, {matrix})\nreturn torch.add(y, self.fc.bias)"))
    };
    let transposed = [
        "torch.t(self.fc.weight)",
        "torch.numpy_T(self.fc.weight)",
        "torch.transpose(self.fc.weight, -1, 0)",
    ];
    for matrix in transposed {
        assert_eq!(product(matrix), Ok(()), "{matrix}");
    }
    for matrix in [
        "self.fc.weight",
        "torch.t(torch.t(self.fc.weight))",
        "torch.to(self.fc.weight, 7)",
        "torch.to(self.fc.weight, 15)",
        "torch.dropout(self.fc.weight, 0.5, True)",
        "torch.contiguous(self.fc.weight)",
    ] {
        assert!(product(matrix).is_err(), "{matrix}");
    }
}

/// The operations of a network of a linear layer `fc` with this body of `forward`.
fn followed(forward: &str) -> Result<ForwardPass, NotFollowed> {
    let network = linear(&["fc"]);
    let module = read(&file(&network, &indented(forward)));
    module.follow(&network.input, network.dtype, &network.state)
}

fn names(operations: &[Operation]) -> Vec<&str> {
    operations.iter().map(|operation| &*operation.name).collect()
}

#[test]
fn the_operations_of_a_forward_pass_have_their_canonical_form() {
    let pass = followed(
        "unused = torch.exp(x)\ny = torch.linear(x, self.fc.weight)\ny = torch.relu6(torch.mul(2, y))\n\
         return torch.softmax(torch.cat([y, torch.softplus(y)], -1), 1)",
    );
    // torch.jit.save writes the tensor before the number: this `mul` has no canonical form.
    assert_eq!(
        names(&pass.unwrap().operations),
        ["linear", "mul", "hardtanh", "softplus", "cat", "softmax"]
    );
    let pass = followed(
        "y = torch.mul(torch.linear(x, self.fc.weight), 2)\nreturn torch.sub(torch.clamp(y, 0, 6), torch.mean(y, [-1], True))",
    );
    let ForwardPass { operations, result } = pass.unwrap();
    assert_eq!(names(&operations), ["linear", "mul", "hardtanh", "mean", "sub"]);
    assert_eq!(result, Argument::Operation(4));
    assert!(operations.iter().all(|operation| operation.is_canonical));
    assert_eq!(operations[1].float("other"), Some(2.0));
    assert_eq!(operations[2].float("max_val"), Some(6.0));
    assert_eq!(
        (operations[3].ints("dim"), operations[3].bool("keepdim")),
        (Some(vec![1]), Some(true))
    );
    let tensors: Vec<&Argument> = operations[4].tensors().collect();
    assert_eq!(tensors, [&Argument::Operation(2), &Argument::Operation(3)]);
    assert!(!operations[0].has("bias"));
    assert_eq!(followed("return x").unwrap().result, Argument::Input);
}

#[test]
fn the_operations_before_a_place_that_is_not_followed_are_known() {
    let error = followed("y = torch.cumsum(x, 1)\nreturn torch.view(y, [torch.size(y, 0), -1])");
    let NotFollowed { operations, error } = error.unwrap_err();
    assert_eq!((names(&operations), operations[0].is_canonical), (vec!["cumsum"], false));
    assert_eq!(error.to_string(), "it asks for size of a tensor whose shape is not known");
}

#[test]
fn permuted_images_have_one_form() {
    let forms =
        ["torch.permute(y, [0, 2, 1])", "torch.transpose(y, 1, -1)", "torch.transpose(y, 2, 1)"];
    let [first, others @ ..] =
        forms.map(|form| followed(&format!("y = torch.unsqueeze(x, 1)\nreturn {form}")).unwrap());
    assert_eq!(names(&first.operations), ["reshape", "permute"]);
    assert!(others.iter().all(|other| *other == first));
    let batch = followed("return torch.permute(torch.unsqueeze(x, 1), [1, 0, 2])").unwrap();
    assert!(!batch.operations[1].is_canonical);
}
