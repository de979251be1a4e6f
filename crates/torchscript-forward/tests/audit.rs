//! Archives whose code does more than compute with tensors, each refused by name, and what the check tells about the others.

mod common;

use torchscript_forward::{AuditError, CodeFacts};

use common::{
    PLAIN, assert_refused, checked, file, linear, plain, with_code, with_lines, with_records,
};

/// The check of a network with these lines before the last one of `forward`.
fn with_body(lines: &str) -> Result<CodeFacts, AuditError> {
    checked(&file(&linear(&["fc"]), &format!("{lines}{PLAIN}")))
}

#[test]
fn a_plain_network_is_accepted() {
    let facts = checked(&plain()).unwrap();
    let forward = facts.forward.clone().unwrap();
    assert!(forward.maps_tensor_to_tensor());
    assert_eq!(
        (forward.parameters[0].name.as_str(), forward.returns.as_deref()),
        ("x", Some("Tensor"))
    );
    assert_eq!(facts, CodeFacts { forward: Some(forward), ..CodeFacts::default() });
}

#[test]
fn an_error_names_the_operation_its_reason_and_its_line() {
    let error = with_body("    y = torch.relu(x)\n    torch.save(y, \"a\")\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "its code has torch.save, which reads or writes a file (code/__torch__.py, line 15), where only operations on \
         tensors are allowed: remove it from the network, and save the network again with torch.jit.script(model).save()"
    );
}

#[test]
fn operations_that_are_not_on_the_list_are_refused_wherever_they_are() {
    for (lines, part) in [
        ("    torch.save(x, \"a\")\n", "torch.save, which reads or writes a file"),
        ("    y = torch.from_file(\"a\", False, 3)\n", "torch.from_file, which reads"),
        ("    y = ops.aten.from_file(\"a\", False, 3)\n", "ops.aten.from_file, which reads"),
        // Behind a branch, in a loop, in an argument, in a list, in a dict, in an index.
        ("    if False:\n      torch.save(x, \"a\")\n    else:\n      pass\n", "torch.save"),
        ("    while False:\n      torch.save(x, \"a\")\n", "torch.save"),
        ("    for i in range(0):\n      torch.save(x, \"a\")\n", "torch.save"),
        ("    y = torch.relu(torch.from_file(\"a\"))\n", "torch.from_file"),
        ("    y = torch.relu(self=torch.from_file(\"a\"))\n", "torch.from_file"),
        ("    y = [torch.from_file(\"a\")]\n", "torch.from_file"),
        ("    y = {\"a\": torch.from_file(\"a\")}\n", "torch.from_file"),
        ("    y = (x, x)[torch.from_file(\"a\"):]\n", "torch.from_file"),
        ("    y = annotate(Tensor, torch.from_file(\"a\"))\n", "torch.from_file"),
        ("    y : Tensor = torch.from_file(\"a\")\n", "torch.from_file"),
        ("    return torch.from_file(\"a\")\n", "torch.from_file"),
        // Under another name.
        ("    f = torch.from_file\n    y = f(\"a\")\n", "torch.from_file"),
        ("    t = torch\n    y = t.from_file(\"a\")\n", "torch, which is not a variable"),
        ("    o = ops\n    y = o.aten.from_file(\"a\")\n", "ops, which is not a variable"),
        ("    o = ops.aten\n    y = o.from_file(\"a\")\n", "ops.aten"),
        ("    torch = x\n    y = torch.from_file(\"a\")\n", "a variable with the name torch"),
        ("    fork = x\n", "a variable with the name fork"),
        ("    for ops in [1]:\n      pass\n", "a variable with the name ops"),
        ("    y, print, = x, x\n", "a variable with the name print"),
        ("    y = getattr(torch, \"from_file\")(\"a\")\n", "torch, which is not a variable"),
        ("    y = getattr(ops.aten, \"from_file\")(\"a\")\n", "ops.aten"),
        ("    y = getattr(\"a\", \"from_file\")\n", "from_file, which reads"),
        ("    y = getattr(x, \"s\\141ve\")(\"a\")\n", "getattr with a name that is not plain"),
        ("    y = getattr(x, self.name)\n", "getattr with a name that is not plain"),
        // As a method: `x.save("a")` is `torch.save(x, "a")`.
        ("    x.save(\"a\")\n", "save, which reads or writes a file"),
        ("    f = x.save\n", "save, which reads or writes a file"),
        ("    torch.relu(x).save(\"a\")\n", "save, which reads or writes a file"),
        ("    \"a\".from_file(False, 3)\n", "from_file, which reads"),
        // White space and lines.
        ("    torch . save(x, \"a\")\n", "torch.save"),
        ("    (torch\n      .save)(x,\n\n \"a\")\n", "torch.save"),
        ("    torch\\\n    .save(x, \"a\")\n", "'\\\\'"),
        ("    torch.\tsave(x, \"a\")\n", "'\\t'"),
        ("    torch.\u{c}save(x, \"a\")\n", "'\\u{c}'"),
        ("    torch.\rsave(x, \"a\")\n", "'\\r'"),
        ("    torch.\0save(x, \"a\")\n", "'\\0'"),
        ("    y = x; torch.save(x, \"a\")\n", "Symbol(';')"),
        ("    y = x # type: (Tensor) -> Tensor\n", "'#'"),
        ("    # torch.relu\n", "'#'"),
        ("    \"\"\"\n    torch.relu\n    \"\"\"\n", "a string that is not closed"),
        ("    y = \"\"\"a\"\"\"\n", "is expected"),
        ("    y = ''' ' '''\n", "a string that is not closed"),
        ("    y = \"a\" \"b\"\n", "is expected"),
        ("    y = \"a\\\n    torch.save(x, 'a')\"\n", "a string that is not closed"),
        ("    tоrch.save(x, \"a\")\n", "'о'"),
        ("    y = torch.ſave(x, \"a\")\n", "'ſ'"),
        // Other namespaces, upper and lower case, deeper paths.
        ("    Torch.save(x, \"a\")\n", "Torch.save"),
        ("    y = torch.From_File(\"a\")\n", "torch.From_File, which PyTorch 2.13 does not have"),
        ("    y = torch.ops.aten.from_file(\"a\")\n", "torch.ops.aten.from_file"),
        ("    y = torch.autograd.from_file(\"a\")\n", "torch.autograd.from_file"),
        ("    y = torch.autograd\n", "torch.autograd"),
        ("    y = ops.prim.autograd.from_file(\"a\")\n", "ops.prim.autograd.from_file"),
        (
            "    y = ops.profiler._record_function_enter(\"a\")\n",
            "ops.profiler._record_function_enter",
        ),
        ("    y = ops.prim.PythonOp(x)\n", "ops.prim.PythonOp"),
        ("    y = ops.prim.rpc_sync(x)\n", "ops.prim.rpc_sync"),
        ("    y = ops.mylib.run(x)\n", "ops.mylib.run"),
        ("    y = os.system(\"a\")\n", "os.system"),
        ("    y = __builtins__.open(\"a\")\n", "__builtins__.open"),
        ("    y = open(\"a\")\n", "a call of open"),
        ("    y = fork(x)\n", "a call of fork"),
        ("    y = id(x)\n", "a call of id"),
        ("    f = fork\n", "fork, which is not a variable"),
        ("    y = rpc_async(\"a\", x)\n", "a call of rpc_async"),
        ("    y = hasattr(x, \"save\")\n", "a call of hasattr"),
        ("    y = ^Evil(1)(x)\n", "the Python operation ^Evil"),
        (
            "    y = uninitialized(__torch__.torch.classes.a.B)\n",
            "the class __torch__.torch.classes.a.B",
        ),
        ("    y = __torch__.torch.classes.a.B(x)\n", "__torch__.torch.classes.a.B"),
        ("    y = __torch__.torch.classes\n", "__torch__.torch.classes"),
        ("    y = __torch__.other(x)\n", "__torch__.other, which it does not define"),
        ("    y = __torch__\n", "__torch__, which is not a variable"),
        ("    y = annotate(Future[Tensor], x)\n", "the type Future[Tensor]"),
        ("    y = unchecked_cast(PyObject, x)\n", "the type PyObject"),
        ("    y = isinstance(x, torch.classes.a.B)\n", "the type torch.classes.a.B"),
        ("    y = isinstance(x, \"torch.classes.a.B\")\n", "the type \"torch.classes.a.B\""),
        (
            "    y = unchecked_cast(Tuple[Tensor, Tensor], (x, x, x))\n",
            "an unchecked_cast to Tuple[Tensor, Tensor]",
        ),
        ("    y = unchecked_cast(__torch__.Net, self.fc)\n", "an unchecked_cast to __torch__.Net"),
        (
            "    y : Optional[Tuple[Tensor, Tensor]] = None\n    z = y\n    for i in range(2):\n      z = y\n      y = (x, x, x)\n    \
             w = unchecked_cast(Tuple[Tensor, Tensor], z)\n",
            "an unchecked_cast to Tuple[Tensor, Tensor]",
        ),
        // State of the process, and memory.
        ("    torch.manual_seed(1)\n", "torch.manual_seed, which changes the process"),
        (
            "    torch.set_grad_enabled(False)\n",
            "torch.set_grad_enabled, which changes the process",
        ),
        ("    torch.set_(x, x)\n", "torch.set_, which replaces the memory"),
        ("    x.resize_([100])\n", "resize_, which replaces the memory"),
        ("    y = torch._unsafe_index(x, [x])\n", "torch._unsafe_index, which is internal"),
        (
            "    y = torch.quantize_per_tensor(x, 1., 0, 13)\n",
            "torch.quantize_per_tensor, which is of another backend",
        ),
        // Syntax.
        ("    with x:\n      torch.save(x, \"a\")\n", "`with`"),
        ("    del x\n", "`del`"),
        ("    raise x\n", "`raise`"),
        ("    y = x + x\n", "Symbol('+')"),
        ("    y = x @ x\n", "Symbol('@')"),
        ("    y = x if True else torch.from_file(\"a\")\n", "is expected"),
        ("    y = [z for z in x]\n", "is expected"),
        ("    y = lambda: x\n", "is expected"),
        ("    def inner(y):\n      return y\n", "`def`"),
        ("    global y\n", "is expected"),
        ("    y = x = x\n", "is expected"),
        ("    y += x\n", "is expected"),
        ("    y = not x\n", "is expected"),
        ("    y = not(x)\n", "a call of not"),
        ("    y = 0x1F\n", "is expected"),
        ("    y = 1j\n", "is expected"),
    ] {
        assert_refused(with_body(lines), part, lines);
    }
}

#[test]
fn code_that_nothing_calls_is_checked_too() {
    let text = |change: fn(String) -> String| checked(&with_code(&plain(), change));
    let save = "torch.save, which reads or writes a file";
    for (lines, part) in [
        ("  def other(self, x: Tensor) -> Tensor:\n    torch.save(x, \"a\")\n    return x\n", save),
        (
            "  def __setstate__(self, state: Tensor) -> NoneType:\n    torch.save(state, \"a\")\n    return None\n",
            save,
        ),
        (
            "  def __getstate__(self) -> Tensor:\n    return torch.from_file(\"a\")\n",
            "torch.from_file",
        ),
        ("  __forward_hooks__ = [torch.from_file(\"a\")]\n", "torch.from_file"),
        ("  size : Final[Tensor] = torch.from_file(\"a\")\n", "torch.from_file"),
        ("  size : __torch__.torch.classes.a.B\n", "__torch__.torch.classes.a.B"),
        ("  __annotations__[\"0\"] = __torch__.torch.classes.a.B\n", "__torch__.torch.classes.a.B"),
        (
            "  def other(self, x: Tensor=torch.from_file(\"a\")) -> Tensor:\n    return x\n",
            "torch.from_file",
        ),
        (
            "  def other(self, x: __torch__.torch.classes.a.B) -> Tensor:\n    return x\n",
            "__torch__.torch.classes.a.B",
        ),
        (
            "  def other(self, x: Tensor) -> Future[Tensor]:\n    return x\n",
            "the type Future[Tensor]",
        ),
        (
            "  def other(self, fork: Tensor) -> Tensor:\n    return fork\n",
            "a variable with the name fork",
        ),
        ("  torch.save(1, \"a\")\n", "the name of an attribute"),
        ("  def forward(self, x: Tensor) -> Tensor:\n    return x\n", "two definitions of forward"),
    ] {
        assert_refused(checked(&with_lines(&plain(), "Net", lines)), part, lines);
    }
    assert_refused(
        text(|text| text + "def other(x: Tensor) -> Tensor:\n  torch.save(x, \"a\")\n  return x\n"),
        save,
        "a function",
    );
    assert_refused(
        text(|text| text.replace("class Net(Module)", "class Net(Evil)")),
        "derived from Evil",
        "a base class",
    );
    assert_refused(
        text(|text| text + "torch.save(1, \"a\")\n"),
        "a class or a function is expected",
        "at the top",
    );
    assert_refused(
        text(|text| text + "class Net(Module):\n  pass\n"),
        "two definitions of Net",
        "twice",
    );
    assert_refused(
        text(|text| format!("import (\n{text}")),
        "a bracket that is not closed",
        "an import over lines",
    );
    assert_refused(
        text(|text| format!("op_version_set = torch.save\n{text}")),
        "is expected",
        "a version",
    );
    assert_refused(text(|text| format!("  \n\tx\n{text}")), "'\\t'", "a tab");
    assert_refused(text(|text| format!("\u{feff}{text}")), "'\\u{feff}'", "a byte order mark");
}

#[test]
fn attributes_of_self_may_have_the_names_of_operations() {
    let lines = "  resize_ : Tensor\n  def save(self, x: Tensor) -> Tensor:\n    return torch.mul(x, self.resize_)\n  \
                 def other(self, x: Tensor) -> Tensor:\n    return (self).save(x)\n";
    // The attribute has no value, which is found after the code.
    assert_refused(checked(&with_lines(&plain(), "Net", lines)), "Net whose resize_ is not", lines);
    for (from, to, part) in [
        ("(self).save(x)", "(x).save(x)", "save, which reads"),
        ("(self).save(x)", "(self.fc).save(x)", "save, which reads"),
        ("self.resize_", "self.wait", "wait, which changes"),
        ("other(self, x", "other(x, self", "save, which reads"),
        (
            "    return (self).save(x)",
            "    self = x\n    return (self).save(x)",
            "save, which reads",
        ),
        ("resize_ : Tensor", "resize_ : Final[int] = 1", "resize_, which replaces"),
    ] {
        let lines = lines.replace(from, to);
        assert_refused(checked(&with_lines(&plain(), "Net", &lines)), part, &lines);
    }
}

#[test]
fn every_file_that_libtorch_may_take_for_code_is_checked_or_refused() {
    let evil = "def f(x: Tensor) -> Tensor:\n  torch.save(x, \"a\")\n  return x\n";
    for (name, part) in [
        ("code/other.py", "torch.save, which reads or writes a file (code/other.py, line 2)"),
        ("code/__torch__/a/b.py", "(code/__torch__/a/b.py, line 2)"),
        ("code/other.PY", "the record \"code/other.PY\""),
        ("Code/other.py", "the record \"Code/other.py\""),
        ("code/a.b.py", "the record \"code/a.b.py\""),
        ("code/../other.py", "the record \"code/../other.py\""),
        ("code//other.py", "the record \"code//other.py\""),
        ("code/other.py/", "the record"),
        ("code\\other.py", "the record"),
        ("code/a b.py", "the record \"code/a b.py\""),
        ("code/ä.py", "the record \"code/ä.py\""),
        ("other.py", "the record \"other.py\""),
        ("other/code/x.py", "the record \"other/code/x.py\""),
        ("code/inner.zip", "the record \"code/inner.zip\""),
        (".data/ts_code/code/other.py", "the record"),
        ("model.json", "the record \"model.json\""),
        ("Model.JSON", "the record \"Model.JSON\""),
        ("Bytecode.pkl", "the record \"Bytecode.pkl\""),
        ("code/other.py.debug_pkl", "code/other.py.debug_pkl: "),
    ] {
        let file = with_records(&plain(), |records| {
            let root = records[0].0.split('/').next().unwrap().to_string();
            records.push((format!("{root}/{name}"), evil.into()));
        });
        assert_refused(checked(&file), part, name);
    }
}

#[test]
fn a_mode_that_is_written_into_the_code_is_found() {
    let mode = |lines: &str| with_body(lines).unwrap().fixed_mode.map(|(what, _)| what);
    for (lines, expected) in [
        ("    y = torch.dropout(x, 0.5, False)\n", Some("torch.dropout with train=False")),
        ("    y = torch.dropout(x, p=0.5, train=True)\n", Some("torch.dropout with train=True")),
        ("    f = torch.dropout\n    y = f(x, 0.5, True)\n", Some("torch.dropout with train=True")),
        ("    y = torch.dropout(x, 0., False)\n", None),
        ("    y = torch.dropout(x, 0.5, self.training)\n", None),
        (
            "    y = torch.batch_norm(x, x, x, x, x, False, 0.1, 1e-5, True)\n",
            Some("torch.batch_norm with training=False"),
        ),
        ("    y = torch.batch_norm(x, x, x, None, None, True, 0.1, 1e-5, True)\n", None),
        ("    y = torch.relu(x)\n", None),
    ] {
        assert_eq!(mode(lines).as_deref(), expected, "{lines}");
    }
}

#[test]
fn print_and_other_signatures_are_reported() {
    let facts = with_body("    print(\"a\", x)\n").unwrap();
    assert_eq!(facts.prints.unwrap().file, "code/__torch__.py");
    for (head, expected) in [
        ("x: Tensor,\n    k: int=1) -> Tensor:", true),
        ("x: Tensor,\n    y: Tensor) -> Tensor:", false),
        ("x: List[Tensor]) -> Tensor:", false),
        ("x: Tensor) -> Tuple[Tensor, Tensor]:", false),
    ] {
        let file = with_code(&plain(), |text| text.replace("x: Tensor) -> Tensor:", head));
        let forward = checked(&file).unwrap().forward.unwrap();
        assert_eq!(forward.maps_tensor_to_tensor(), expected, "{head}: {forward:?}");
    }
    let without = with_code(&plain(), |text| text.replace("def forward(", "def other("));
    assert_eq!(checked(&without).unwrap().forward, None);
}
