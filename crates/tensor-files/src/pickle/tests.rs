use super::*;

/// What a pickle is of, in Python's notation, as far as it is looked into.
fn shown(bytes: &[u8]) -> String {
    let pickle = match read(bytes, 1 << 20) {
        Ok(pickle) => pickle,
        Err(error) => return error.to_string(),
    };
    assert_eq!(pickle.length, bytes.len());
    show(&pickle, pickle.top)
}

fn show(pickle: &Pickle, id: Id) -> String {
    let all =
        |items: &[Id]| items.iter().map(|&id| show(pickle, id)).collect::<Vec<_>>().join(", ");
    match &pickle.arena[id] {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Str(text) => format!("{text:?}"),
        Value::Tuple(items) => format!("({})", all(items)),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Dict(items) => {
            let item = |&(key, value): &(Id, Id)| {
                format!("{}: {}", show(pickle, key), show(pickle, value))
            };
            format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(", "))
        }
        _ => format!("<{}>", pickle.describe(id)),
    }
}

#[test]
fn every_opcode_of_every_protocol_is_data() {
    for (bytes, expected) in [
        // Protocol 0.
        (&b"(I1\nI01\nI00\nI-5\nL7L\nL99999999999999999999L\nF1.5\nNt."[..],
            "(1, true, false, -5, 7, <int>, <float>, <None>)"),
        (b"(S'a'\nS\"b\"\nS'\\x41'\nV\\u0041\\U0001F600\xe9\nl.",
            "[\"a\", \"b\", <str>, \"A\u{1f600}\u{e9}\"]"),
        (b"(dp0\nS'k'\nI2\nsg0\n0.", "{\"k\": 2}"),
        (b"(S'k'\np0\nI1\nd.", "{\"k\": 1}"),
        (b"(lp1\nI1\nag1\n0.", "[1]"),
        (b"(S'x'\nic\nC\n.", "<c.C>"),
        (b"(cc\nC\nI1\no.", "<c.C>"),
        (b"Pname\n.", "<a persistent id>"),
        (b"I1\n2\x86.", "(1, 1)"),
        (b"I1\n(I2\nI3\n1.", "1"),
        (b"I1\n(0.", "1"),
        // Protocols 1 and 2.
        (b"(K\x05M\x00\x01J\xff\xff\xff\xff\x8a\x01\xff\x8b\x01\0\0\0\x07\x8a\0t.",
            "(5, 256, -1, -1, 7, 0)"),
        (b"\x8a\x09\x05\0\0\0\0\0\0\x80\0.", "<int>"),
        (b"\x80\x02](U\x01aT\x01\0\0\0bU\x01\xffe.", "[\"a\", \"b\", <bytes>]"),
        (b"\x80\x02cc\nC\n)\x81}b.", "<c.C>"),
        (b"\x80\x02cc\nC\n)R]a.", "<c.C>"),
        (b"\x80\x02cc\nC\n)RK\x01K\x02s(K\x01K\x02u(K\x01e.", "<c.C>"),
        (b"\x80\x02ccollections\nOrderedDict\n](]K\x01aK\x02a]K\x03aK\x04ae\x85R.",
            "{1: 2, 3: 4}"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "<collections.OrderedDict>"),
        // Protocols 3 to 5.
        (b"\x80\x03(B\x01\0\0\0aC\x01at.", "(<bytes>, <bytes>)"),
        (b"\x80\x04\x95\0\0\0\0\0\0\0\0(\x8c\x01a\x94\x8d\x01\0\0\0\0\0\0\0b\x8e\x01\0\0\0\0\0\0\0ch\0t.",
            "(\"a\", \"b\", <bytes>, \"a\")"),
        (b"\x80\x04\x8f(K\x01\x90.", "<set>"),
        (b"\x80\x04(K\x01\x91.", "<frozenset>"),
        (b"\x80\x04\x8c\x01m\x8c\x03A.B\x93)}\x92.", "<m.A.B>"),
        (b"\x80\x05\x96\x01\0\0\0\0\0\0\0a.", "<bytearray>"),
    ] {
        let found = shown(bytes);
        assert!(found.contains(expected), "{:?}: {found}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn what_needs_something_besides_the_pickle_is_refused() {
    for (bytes, expected) in [
        (&b"\x80\x02\x82\x01."[..], "opcode 0x82 at byte 2: its meaning depends on a registry"),
        (b"\x80\x05\x97.", "its data lie outside the file"),
        (b"\x80\x05N\x98.", "its data lie outside the file"),
        (b"\xff.", "no protocol up to 5 has it"),
        (b"\x80\x06N.", "a protocol above 5"),
    ] {
        assert!(shown(bytes).contains(expected), "{}", shown(bytes));
    }
}

#[test]
fn values_that_readers_would_change_are_refused() {
    for (bytes, expected) in [
        (&b"}X\x01\0\0\0aK\x01sX\x01\0\0\0aK\x02s."[..], "a dict has the key \"a\" twice"),
        (b"}(K\x01NK\x02NK\x01Nu.", "a dict has the key \"1\" twice"),
        (b"cc\nC\nK\x01a.", "not a list"),
        (b"cc\nC\n}b.", "no attributes"),
        (b"K\x01)R.", "not a function or class"),
        (b"]K\x01K\x02s.", "not a dict"),
    ] {
        assert!(shown(bytes).contains(expected), "{}", shown(bytes));
    }
}

/// `torch.FloatStorage` 0 of four elements.
const STORAGE: &[u8] =
    b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";

/// The tensor that a call of `function` with a storage of four float32 and `arguments` makes.
fn rebuilt(function: &[u8], arguments: &[u8]) -> String {
    let call = [b"\x80\x02ctorch._utils\n", function, b"\n(", STORAGE, arguments, b"tR."].concat();
    let pickle = read(&call, 1 << 20).unwrap();
    match &pickle.arena[pickle.top] {
        Value::Tensor(tensor) => {
            format!("{} {:?} {} {}", tensor.dtype, tensor.shape, tensor.negative, tensor.conjugate)
        }
        _ => pickle.describe(pickle.top).to_string(),
    }
}

#[test]
fn every_argument_of_a_tensor_is_applied_or_makes_it_unreadable() {
    let metadata = |items: &[u8]| [b"K\0K\x04\x85K\x01\x85\x89N}(", items, b"u"].concat();
    let neg = b"X\x03\0\0\0neg\x88";
    let conj = b"X\x04\0\0\0conj\x88";
    for (function, arguments, expected) in [
        (&b"_rebuild_tensor"[..], b"K\0K\x04\x85K\x01\x85".to_vec(), "float32 [4] false false"),
        (b"_rebuild_tensor_v2", b"K\0K\x04\x85K\x01\x85\x89N".to_vec(), "float32 [4] false false"),
        (b"_rebuild_tensor_v2", metadata(b""), "float32 [4] false false"),
        (b"_rebuild_tensor_v2", metadata(neg), "float32 [4] true false"),
        (b"_rebuild_tensor_v2", metadata(&[&neg[..], conj].concat()), "float32 [4] true true"),
        // PyTorch sets the bit whatever stands there.
        (b"_rebuild_tensor_v2", metadata(b"X\x03\0\0\0neg\x89"), "unknown metadata"),
        (b"_rebuild_tensor_v2", metadata(b"X\x03\0\0\0new\x88"), "unknown metadata"),
        (b"_rebuild_tensor_v2", b"K\0K\x04\x85K\x01\x85\x89NNN".to_vec(), "does not take"),
        (b"_rebuild_tensor_v2", b"K\0K\x04\x85K\x01\x85".to_vec(), "does not take"),
        (b"_rebuild_tensor_v2", b"G12345678K\x04\x85K\x01\x85\x89N".to_vec(), "without offset"),
        (b"_rebuild_tensor_v2", b"K\0]K\x01\x85\x89N".to_vec(), "without offset, shape"),
        (
            b"_rebuild_tensor_v2",
            b"K\0\x8a\x09\0\0\0\0\0\0\0\0\x01\x85K\x01\x85\x89N".to_vec(),
            "shape",
        ),
        (
            b"_rebuild_tensor_v3",
            b"K\0K\x04\x85K\x01\x85\x89Nctorch\nint32\n".to_vec(),
            "int32 [4] false false",
        ),
        (
            b"_rebuild_tensor_v3",
            b"K\0K\x04\x85K\x01\x85\x89Nctorch\nbits8\n".to_vec(),
            "torch.bits8",
        ),
        (b"_rebuild_tensor_v3", b"K\0K\x04\x85K\x01\x85\x89N\x89".to_vec(), "element type"),
        (b"_rebuild_qtensor", b"".to_vec(), "a quantized tensor"),
        (b"_rebuild_other_tensor", b"".to_vec(), "torch._utils._rebuild_other_tensor"),
    ] {
        let found = rebuilt(function, &arguments);
        assert!(found.contains(expected), "{}: {found}", String::from_utf8_lossy(function));
    }
}

/// The value of a pickle that makes a tensor `w` of four elements, executes `opcodes` (`w` is in slot 0) and
/// returns another view of its storage.
fn after(opcodes: &[u8]) -> String {
    let start = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    let view = [&start[..], STORAGE, b"K\0K\x04\x85K\x01\x85\x89NtR"].concat();
    let pickle = [b"\x80\x02", &view[..], b"q\0", opcodes, &view, b"."].concat();
    let pickle = read(&pickle, 1 << 20).unwrap();
    pickle.describe(pickle.top).to_string()
}

#[test]
fn a_tensor_that_an_unknown_function_is_called_with_is_unreadable() {
    let zero = b"ctorch\nzero_\n";
    let storage = [STORAGE, b"\x85"].concat();
    let from_type =
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nzero_\nctorch\nTensor\nh\0\x85NtR";
    for opcodes in [
        [zero, &b"h\0\x85R"[..]].concat(),
        // Dropped, as an item of a list in a dict, by NEWOBJ, by keyword, by the opcodes of protocol 0.
        [zero, &b"h\0\x85R0"[..]].concat(),
        [zero, &b"}X\x01\0\0\0a]h\0as\x85R"[..]].concat(),
        [zero, &b"h\0\x85\x81"[..]].concat(),
        [zero, &b")}X\x01\0\0\0ah\0s\x92"[..]].concat(),
        b"(h\0itorch\nzero_\n".to_vec(),
        b"(ctorch\nzero_\nh\0o".to_vec(),
        // Its storage; a tensor of the same storage that is unreadable itself.
        [zero, &storage[..], b"R"].concat(),
        [&b"h\0Nb"[..], zero, b"h\0\x85R"].concat(),
        // Held by an object that is called, or that a function is called with.
        [&b"cfunctools\npartial\n"[..], zero, b"h\0\x86R)R"].concat(),
        b"cfunctools\npartial\n)\x81h\0b)R".to_vec(),
        [zero, &b"ca\nB\n)\x81h\0a\x85R"[..]].concat(),
        [zero, &b"ca\nB\n)\x81K\x01h\0s\x85R"[..]].concat(),
        // Called by a known function.
        from_type.to_vec(),
    ] {
        let opcodes = [&opcodes[..], b"0"].concat();
        let found = after(&opcodes);
        assert!(found.contains("that a call of"), "{}: {found}", String::from_utf8_lossy(&opcodes));
    }
    assert_eq!(
        after(&[zero, &b"h\0\x85R0"[..]].concat()),
        "a tensor that a call of torch.zero_ may change"
    );
}

#[test]
fn a_tensor_stays_readable_beside_calls_that_do_not_reach_it() {
    for opcodes in [
        &b""[..],
        b"ctorch\nzero_\nK\x01\x85R0",
        // Attributes and items of an object.
        b"ca\nB\n)\x81}X\x01\0\0\0wh\0sb0",
        b"ca\nB\n)R(K\x01h\0u0",
        b"ca\nB\n)Rh\0a0",
        b"ctorch._utils\n_rebuild_parameter\nh\0\x88N\x87R0",
    ] {
        assert_eq!(after(opcodes), "a tensor", "{}", String::from_utf8_lossy(opcodes));
    }
}

#[test]
fn an_empty_dict_that_an_unknown_function_is_called_with_is_not_known_to_be_empty() {
    let filled = b"\x80\x02coperator\nsetitem\n}q\0X\x01\0\0\0aN\x87R0h\0.";
    assert_eq!(shown(filled), "<a dict that a call of operator.setitem may change>");
}

#[test]
fn one_long_argument_of_many_calls_is_not_looked_at_as_often() {
    // Pairs of which the last is not one, and a dict of attributes, for 100,000 calls each.
    let calls = |long: &[u8], call: &[u8]| {
        let pickle = [b"\x80\x02", long, &call.repeat(100_000), b"N."].concat();
        read(&pickle, 64 << 20)
    };
    let pair = b"]K\x01a]K\x02a\x86".repeat(1000);
    let pairs = [&b"]("[..], &pair, b"Ne\x85q\x000"].concat();
    let pairs = calls(&pairs, b"ccollections\nOrderedDict\nh\x00R0");
    assert!(matches!(pairs, Err(PickleError::Memory { .. })), "{pairs:?}");
    let items = |i: u32| [b"X\x04\0\0\0", format!("{i:04}").as_bytes(), b"N"].concat();
    let items: Vec<u8> = (0..1000).flat_map(items).collect();
    let attributes = [b"(NNN}(", &items[..], b"utq\x000"].concat();
    let parameter = b"ctorch._utils\n_rebuild_parameter_with_state\nh\x00R0";
    let attributes = calls(&attributes, parameter);
    assert!(attributes.is_ok(), "{attributes:?}");
}
