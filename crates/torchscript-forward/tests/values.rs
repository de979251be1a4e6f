//! Archives whose values are not those that torch.jit.save writes, each refused by name.

mod common;

use torchscript_forward::{AuditError, CodeFacts};

use common::{assert_refused, checked, plain, with_code, with_records};

/// The check of a network with an attribute `a` of this type and the value of this pickle, a byte per character.
fn with_attribute(kind: &str, pickle: &str) -> Result<CodeFacts, AuditError> {
    let file = with_code(&plain(), |text| {
        let net = "class Net(Module):\n";
        let interface =
            "class Calls(ModuleInterface):\n  def forward(self, x: Tensor) -> Tensor:\n    pass\n";
        text.replace(
            "  weight : Tensor\n  bias : Tensor\n",
            "  weight : NoneType\n  bias : NoneType\n",
        )
        .replace("  __annotations__[\"fc\"] = __torch__.Layer1_fc\n", "")
        .replace(net, &format!("{interface}{net}  a : {kind}\n"))
    });
    checked(&with_records(&file, |records| {
        let record = records.iter_mut().find(|(name, _)| name.ends_with("/data.pkl")).unwrap();
        let object =
            format!("c__torch__\nNet\n)\u{81}}}(X\x01\0\0\0a{pickle}X\x08\0\0\0trainingI01\nub.");
        record.1 = [0x80, 2].into_iter().chain(object.chars().map(|c| c as u8)).collect();
    }))
}

#[test]
fn values_that_torch_jit_save_does_not_write_are_refused() {
    let storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ";
    let tensor = |offset: &str| {
        format!(
            "ctorch._utils\n_rebuild_tensor_v2\n({storage}{offset}K\x02\u{85}K\x01\u{85}\u{89}NtR"
        )
    };
    assert_eq!(with_attribute("Tensor", &tensor("K\x0e")).map(|_| ()), Ok(()));
    for (pickle, part) in [
        (tensor("K\x0f"), "a tensor that reaches beyond its storage"),
        (tensor("J\u{7f}\u{7f}\u{7f}\u{7f}"), "a tensor that reaches beyond its storage"),
        (
            storage.replace("K\x10", "K\x11"),
            "its storage 0 has 64 bytes, where the pickle says 17 elements",
        ),
        (storage.replace("FloatStorage", "DoubleStorage"), "its storage 0 has 64 bytes"),
        (storage.replace("\x000X", "\x009X"), "data/9 is not in it"),
        ("cos\nsystem\n(X\x01\0\0\0atR".into(), "os.system"),
        ("ctorch.distributed.rpc\nrref\n(K\x01tR".into(), "torch.distributed.rpc.rref"),
        (
            "c__torch__.torch.classes.a\nB\n)\u{81}}b".into(),
            "__torch__.torch.classes.a.B, which is not defined",
        ),
        (
            "c__torch__\nOther\n)\u{81}}b".into(),
            "an object of __torch__.Other, which is not defined",
        ),
        ("c__torch__\nNet\n(K\x01tR".into(), "a TorchScript class"),
        ("ctorch\nFloatStorage\n(K\x01tR".into(), "a storage class of torch"),
        (
            "ctorch._utils\n_rebuild_sparse_tensor\n(K\x01tR".into(),
            "a tensor that torch.jit.save does not write",
        ),
        (
            "ctorch._tensor\n_rebuild_from_type_v2\n(K\x01tR".into(),
            "a tensor that torch.jit.save does not write",
        ),
    ] {
        assert_refused(with_attribute("Tensor", &pickle), part, &format!("{pickle:?}"));
    }
    assert_eq!(with_attribute("Device", "ctorch\ndevice\n(X\x03\0\0\0cputR").map(|_| ()), Ok(()));
}

#[test]
fn attributes_that_are_not_of_their_declared_types_are_refused() {
    let layer = "c__torch__\nLayer1_fc\n)\u{81}}(X\x06\0\0\0weightNX\x04\0\0\0biasNX\x08\0\0\0trainingI01\nub";
    for (kind, value, fits) in [
        ("__torch__.Layer1_fc", layer.to_string(), true),
        ("__torch__.Layer1_fc", "N".into(), false),
        ("Optional[__torch__.Layer1_fc]", "N".into(), true),
        ("List[__torch__.Layer1_fc]", format!("({layer}l"), true),
        ("List[__torch__.Layer1_fc]", "(K\x01l".into(), false),
        ("Tuple[int, float]", "(K\x01F1.5\nt".into(), true),
        ("Tuple[int, float]", "(K\x01t".into(), false),
        ("Dict[str, int]", "(X\x01\0\0\0bK\x01d".into(), true),
        ("Dict[str, int]", "(K\x01K\x01d".into(), false),
        ("Union[int, str]", "X\x01\0\0\0b".into(), true),
        ("__torch__.Net", layer.to_string(), false),
        ("__torch__.Calls", layer.to_string(), false),
        ("Tensor", "K\x01".into(), false),
    ] {
        let result = with_attribute(kind, &value);
        match fits {
            true => assert_eq!(result.map(|_| ()), Ok(()), "{kind}: {value:?}"),
            false => {
                assert_refused(result, "__torch__.Net whose a is not what its class declares", kind)
            }
        }
    }
}
