//! Checks that the attributes of objects have the types that their classes declare. libtorch takes attributes as they are, and
//! reads those of one class from an object of another without a check of their number.

use std::collections::{HashMap, HashSet};

use tensor_files::torchscript::{Archive, Id, Object, Value};

use super::super::ScriptModule;
use super::super::syntax::{Class, Expr, Parameter};
use super::AuditError;
use super::types::text;

impl ScriptModule {
    /// Checks the attributes of all objects, or the state that `__setstate__` takes.
    pub(super) fn check_objects(&self) -> Result<(), AuditError> {
        let (fitting, containers) = (HashSet::new(), HashMap::new());
        let mut check = Check { module: self, fitting, containers, steps: STEPS };
        self.archive().objects().try_for_each(|(_, object)| check.object(object))
    }
}

/// Most values that are compared with a type: a small file may use one value many times.
const STEPS: usize = 1 << 22;

struct Check<'a> {
    module: &'a ScriptModule,
    /// Values that have been found to be of a type, by its place in memory.
    fitting: HashSet<(Id, *const Expr)>,
    /// The type of each list and dict. One that two attributes share must not have two.
    containers: HashMap<Id, String>,
    /// Values that may still be compared.
    steps: usize,
}

impl Check<'_> {
    fn object(&mut self, object: Object<'_>) -> Result<(), AuditError> {
        let name = object.class;
        let wrong = |what: &str| {
            AuditError::Archive(format!("an object of {} whose {what}", name.escape_debug()))
        };
        let class = self.module.class(name).ok_or_else(|| wrong("class is not defined"))?;
        // One that is never built is no object for libtorch.
        let Some(state) = object.state() else { return Ok(()) };
        if let Some(setstate) = class.methods.get("__setstate__") {
            let kind =
                setstate.parameters.get(1).and_then(|parameter| parameter.annotation.as_ref());
            return match kind.is_some_and(|kind| self.fits(state, kind)) {
                true => Ok(()),
                false => Err(wrong("state is not what its __setstate__ takes")),
            };
        }
        let values: HashMap<&str, Id> = object.attributes().collect();
        self.steps = self.steps.saturating_sub(values.len() + class.attributes.len());
        for (name, attribute) in class.attributes.iter().filter(|(_, it)| it.value.is_none()) {
            let (value, kind) = (values.get(&**name), attribute.annotation.as_ref());
            if !value.zip(kind).is_some_and(|(&value, kind)| self.fits(value, kind)) {
                return Err(wrong(&format!("{name} is not what its class declares")));
            }
        }
        match self.steps {
            0 => Err(AuditError::Archive("more attributes than can be checked".into())),
            _ => Ok(()),
        }
    }

    /// Whether a value is of a type.
    fn fits(&mut self, id: Id, kind: &Expr) -> bool {
        if self.fitting.contains(&(id, &raw const *kind)) {
            return true;
        }
        let Some(left) = self.steps.checked_sub(1) else { return false };
        self.steps = left;
        let fits = match kind {
            Expr::Index(of, inner) => match &**of {
                Expr::Name(generic) => self.fits_generic(id, generic, inner, kind),
                _ => false,
            },
            Expr::Attribute(..) => self.fits_class(id, &text(kind)),
            _ => {
                let value = self.archive().value(id);
                match text(kind).as_str() {
                    "Tensor" => value == Value::Tensor,
                    "NoneType" | "None" => value == Value::None,
                    "bool" => matches!(value, Value::Bool(_)),
                    "int" => matches!(value, Value::Int(_)),
                    "float" => matches!(value, Value::Float(_)),
                    "number" => matches!(value, Value::Int(_) | Value::Float(_)),
                    "str" => matches!(value, Value::Str(_)),
                    "Device" => value == Value::Other,
                    _ => false,
                }
            }
        };
        if fits {
            self.fitting.insert((id, &raw const *kind));
        }
        fits
    }

    fn fits_generic(&mut self, id: Id, generic: &str, inner: &Expr, kind: &Expr) -> bool {
        let module = self.module;
        let value = module.archive().value(id);
        let kinds = match inner {
            Expr::Tuple(kinds) => &kinds[..],
            one => std::slice::from_ref(one),
        };
        if matches!(generic, "List" | "Dict") {
            let kind = text(kind);
            if *self.containers.entry(id).or_insert(kind.clone()) != kind {
                return false;
            }
        }
        match (generic, kinds, value) {
            ("Optional", _, Value::None) => true,
            ("Optional", [kind], _) => self.fits(id, kind),
            ("Union", kinds, _) => kinds.iter().any(|kind| self.fits(id, kind)),
            ("List", [kind], Value::List(items)) => items.iter().all(|&item| self.fits(item, kind)),
            ("Tuple", kinds, Value::Tuple(items)) => {
                let mut pairs = items.iter().zip(kinds);
                items.len() == kinds.len() && pairs.all(|(&item, kind)| self.fits(item, kind))
            }
            ("Dict", [key, value], Value::Dict(items)) => {
                items.iter().all(|item| self.fits(item.0, key) && self.fits(item.1, value))
            }
            _ => false,
        }
    }

    /// Whether a value is an object of this class, or has the methods of this interface.
    fn fits_class(&self, id: Id, name: &str) -> bool {
        let (Some(object), Some(expected)) = (self.archive().object(id), self.module.class(name))
        else {
            return false;
        };
        match (expected.base.as_deref(), self.module.class(object.class)) {
            (Some("Interface" | "ModuleInterface"), Some(class)) => implements(class, expected),
            _ => object.class == name,
        }
    }

    fn archive(&self) -> &Archive {
        self.module.archive()
    }
}

/// Whether a class has the methods of an interface, with the same types.
fn implements(class: &Class, interface: &Class) -> bool {
    interface.methods.iter().all(|(name, expected)| {
        class.methods.get(name).is_some_and(|method| {
            let kinds = |parameter: &Parameter| parameter.annotation.as_ref().map(text);
            let [own, other] = [method, expected].map(|it| it.parameters.iter().skip(1).map(kinds));
            own.eq(other)
                && method.returns.as_ref().map(text) == expected.returns.as_ref().map(text)
        })
    })
}
