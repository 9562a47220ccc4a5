//! Readable values of variables: a bounded `repr` without running any code of the target.
//!
//! Builtins look as Python prints them; instances show their class and attributes. Depth, number
//! of items and length are capped, and an object inside itself is shown once.

use std::fmt::Write as _;
use std::sync::Arc;

use super::secret::{HIDDEN, is_count_name, is_secret_name, masked};
use crate::memory::Address;
use crate::python::object::{Class, Kind, MAX_ITEMS, Read, Reader};

/// Containers inside containers.
const MAX_DEPTH: usize = 3;
/// Items of one container, attributes of one instance.
const MAX_SHOWN: u64 = 8;
/// Entries of a dictionary that are read at first: it may have a million.
const FEW_ENTRIES: u64 = 64;
/// Code points of one string.
const MAX_TEXT: usize = 80;
/// Bytes of the whole text, after which everything else is `…`.
const MAX_REPR: usize = 400;
/// Bytes of one `bytes` object.
const MAX_BYTES: u64 = 60;

/// A text in the making.
struct Repr {
    text: String,
    /// Whether secrets are written too.
    shows_secrets: bool,
    /// The containers we are in.
    inside: Vec<Address>,
}

impl Repr {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// What a string holds, in quotes; of one that `is_cut` the end is missing.
    fn push_text(&mut self, text: &str, is_cut: bool) {
        if self.shows_secrets { self.push(text) } else { self.push(&masked(text, is_cut)) }
    }

    fn is_full(&self) -> bool {
        self.text.len() > MAX_REPR
    }
}

impl Reader<'_> {
    /// The object at `at` as readable text, without secrets; what cannot be read shows as `<…>`.
    pub fn repr(&self, at: Address) -> String {
        let mut repr = Repr { text: String::new(), shows_secrets: false, inside: Vec::new() };
        self.write_repr(at, &mut repr);
        repr.text
    }

    /// The value of the variable `name` as readable text.
    pub fn value(&self, name: &str, at: Address, shows_secrets: bool) -> String {
        let mut repr = Repr { text: String::new(), shows_secrets, inside: Vec::new() };
        self.write_named(name, at, &mut repr);
        repr.text
    }

    /// What has a name: nothing of it, if that is the name of a secret.
    fn write_named(&self, name: &str, at: Address, repr: &mut Repr) {
        if !repr.shows_secrets && is_secret_name(name) && !self.is_plain(name, at) {
            repr.push(HIDDEN);
        } else {
            self.write_repr(at, repr);
        }
    }

    /// Whether a value says nothing though its name sounds like a secret: there is none, it is
    /// code, or it counts.
    fn is_plain(&self, name: &str, at: Address) -> bool {
        self.kind_of(at).is_ok_and(|kind| match kind {
            Kind::None
            | Kind::Bool
            | Kind::Module
            | Kind::Function
            | Kind::Method
            | Kind::Builtin
            | Kind::Type
            | Kind::Task
            | Kind::PyTask => true,
            Kind::Int | Kind::Float => is_count_name(name),
            _ => false,
        })
    }

    /// The text of a key or name, if it is one.
    fn key_text(&self, at: Address) -> Option<String> {
        match self.kind_of(at).ok()? {
            Kind::Str => self.str(at, MAX_TEXT).ok(),
            Kind::Bytes => {
                let size = self.size(at, 1 << 40, "bytes").ok()?.min(MAX_BYTES);
                let start = at.offset(self.layout.small.bytes_data);
                self.memory.note_text(start, size, false);
                let bytes = self.memory.vec(start, size).ok()?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        }
    }

    fn write_keyed(&self, key: Address, value: Address, repr: &mut Repr) {
        match self.key_text(key) {
            Some(name) => self.write_named(&name, value, repr),
            None => self.write_repr(value, repr),
        }
    }

    fn write_repr(&self, at: Address, repr: &mut Repr) {
        if repr.is_full() {
            repr.push("…");
        } else if let Err(error) = self.try_repr(at, repr) {
            let _ = write!(repr.text, "<unreadable: {error}>");
        }
    }

    fn try_repr(&self, at: Address, repr: &mut Repr) -> Read<()> {
        let class = self.class_of(at)?;
        let is_subclass = class.is_python();
        match class.kind {
            Kind::None => repr.push("None"),
            Kind::Bool => repr.push(if self.int(at)? == 0 { "False" } else { "True" }),
            Kind::Ellipsis => repr.push("Ellipsis"),
            Kind::Int if !is_subclass => repr.push(&self.int_text(at)?),
            Kind::Float if !is_subclass => {
                let value = self.memory.f64(at.offset(self.layout.small.float_value))?;
                repr.push(&float_text(value));
            }
            Kind::Complex if !is_subclass => {
                // PyComplexObject: [ header, real: f64, imag: f64 ]
                let at = at.offset(self.layout.small.float_value);
                let (real, imag) = (self.memory.f64(at)?, self.memory.f64(at.offset(8))?);
                repr.push(&complex_text(real, imag));
            }
            Kind::Str if !is_subclass => self.text(at, repr)?,
            Kind::Bytes if !is_subclass => {
                let size = self.size(at, 1 << 40, "bytes")?;
                let start = at.offset(self.layout.small.bytes_data);
                self.memory.note_text(start, size.min(MAX_BYTES), false);
                let bytes = self.memory.vec(start, size.min(MAX_BYTES))?;
                let is_cut = size > MAX_BYTES;
                let text = bytes_text(&bytes, is_cut);
                repr.push_text(&text, is_cut);
            }
            Kind::Module => self.named(at, "module", repr),
            Kind::Function | Kind::Method | Kind::Builtin => self.named(at, &class.name, repr),
            Kind::Type => {
                let class = self.class(at)?;
                let _ = write!(repr.text, "<class '{}'>", self.class_name(&class));
            }
            Kind::Task | Kind::PyTask => {
                let name = self.task_name(at);
                let class = self.class_name(&class);
                let _ = write!(repr.text, "<{class} {} at {at}>", name.unwrap_or_default());
            }
            _ if repr.inside.contains(&at) => repr.push(match class.kind {
                Kind::List => "[...]",
                Kind::Dict => "{...}",
                _ => "...",
            }),
            _ if repr.inside.len() >= MAX_DEPTH => {
                let _ = write!(repr.text, "<{} at {at}>", self.class_name(&class));
            }
            _ => {
                repr.inside.push(at);
                let result = self.nested(at, &class, is_subclass, repr);
                repr.inside.pop();
                return result;
            }
        }
        Ok(())
    }

    /// Containers and instances.
    fn nested(
        &self,
        at: Address,
        class: &Arc<Class>,
        is_subclass: bool,
        repr: &mut Repr,
    ) -> Read<()> {
        let count = |field| self.memory.u64(at.offset(field));
        match class.kind {
            Kind::Tuple if !is_subclass => {
                let items = self.tuple(at)?;
                let total = items.len() as u64;
                self.items("(", items, total, if total == 1 { ",)" } else { ")" }, repr);
            }
            Kind::List if !is_subclass => {
                let total = count(self.layout.object.ob_size)?;
                self.items("[", self.list(at, MAX_SHOWN)?, total, "]", repr);
            }
            Kind::Set | Kind::FrozenSet if !is_subclass => {
                let total = count(self.layout.set.used)?;
                let (open, close) = match (class.kind, total) {
                    (Kind::Set, 0) => ("set(", ")"),
                    (Kind::Set, _) => ("{", "}"),
                    (_, 0) => ("frozenset(", ")"),
                    _ => ("frozenset({", "})"),
                };
                self.items(open, self.set(at)?, total, close, repr);
            }
            Kind::Deque if !is_subclass => {
                let total = count(self.layout.object.ob_size)?;
                self.items("deque([", self.deque(at, MAX_SHOWN)?, total, "])", repr);
            }
            Kind::Dict if !is_subclass => {
                let total = count(self.layout.dict.used)?;
                let mut items = self.dict(at, FEW_ENTRIES)?;
                // Deleted entries may stand before living ones.
                if (items.len() as u64) < total.min(MAX_SHOWN) {
                    items = self.dict(at, MAX_ITEMS)?;
                }
                self.pairs("{", &items, total, "}", repr);
            }
            Kind::Partial => {
                let name = self.callable_name(at).unwrap_or_default();
                let _ = write!(repr.text, "functools.{name}");
            }
            Kind::Exception => {
                let name = self.class_name(class);
                repr.push(name.rsplit('.').next().unwrap_or(&name));
                match self.pointer(at.offset(self.layout.small.exception_args))? {
                    Some(arguments) if self.is_kind(arguments, Kind::Tuple) => {
                        let items = self.tuple(arguments)?;
                        let total = items.len() as u64;
                        self.items("(", items, total, ")", repr);
                    }
                    _ => repr.push("()"),
                }
            }
            Kind::Cell => match self.pointer(at.offset(self.layout.small.cell_ref))? {
                Some(content) => {
                    repr.push("<cell: ");
                    self.write_repr(content, repr);
                    repr.push(">");
                }
                None => repr.push("<cell: empty>"),
            },
            _ => self.instance(at, class, is_subclass, repr)?,
        }
        Ok(())
    }

    /// An instance with its attributes: `<app.Job id=7 state='new'>`.
    fn instance(
        &self,
        at: Address,
        class: &Arc<Class>,
        is_subclass: bool,
        repr: &mut Repr,
    ) -> Read<()> {
        let name = self.class_name(class);
        // Enum members keep their name and value in `_name_` and `_value_`.
        if is_subclass
            && let [Some(member), Some(value)] = self.attributes_named(at, ["_name_", "_value_"])?
            && self.is_kind(member, Kind::Str)
        {
            let short = name.rsplit('.').next().unwrap_or(&name);
            let _ = write!(repr.text, "<{short}.{}: ", self.str(member, MAX_TEXT)?);
            self.write_repr(value, repr);
            repr.push(">");
            return Ok(());
        }
        if is_subclass && self.is_subclass_named(class, "AbstractEventLoop") {
            // Its attributes are the whole program.
            let _ = write!(repr.text, "<{name} at {at}>");
            return Ok(());
        }
        if is_subclass && self.write_record(at, class, &name, repr)? {
            return Ok(());
        }
        let _ = write!(repr.text, "<{name}");
        if class.kind.is_future()
            && let Some(state) = self.future_state(at)?
        {
            let _ = write!(repr.text, " {state} at {at}>");
            return Ok(());
        }
        if is_subclass && class.kind != Kind::Other {
            // A subclass of a builtin: its value as the builtin's first.
            repr.push(" ");
            self.builtin_part(at, class.kind, repr)?;
        }
        let mut shown = 0;
        let mut slots: Vec<_> = self.slots(class).iter().collect();
        slots.sort_unstable_by_key(|(_, offset)| **offset);
        for (slot, offset) in slots {
            if let Some(value) = self.pointer(at.offset(*offset))? {
                if shown == MAX_SHOWN {
                    repr.push(" …");
                    break;
                }
                shown += 1;
                let _ = write!(repr.text, " {slot}=");
                self.write_named(slot, value, repr);
            }
        }
        let attributes = if is_subclass { self.attributes(at, MAX_ITEMS)? } else { vec![] };
        for (key, value) in attributes {
            if shown == MAX_SHOWN {
                repr.push(" …");
                break;
            }
            shown += 1;
            let key = self.name(key)?;
            let _ = write!(repr.text, " {key}=");
            self.write_named(&key, value, repr);
        }
        if shown == 0 && (!is_subclass || class.kind == Kind::Other) {
            let _ = write!(repr.text, " at {at}");
        }
        repr.push(">");
        Ok(())
    }

    /// A dataclass or a named tuple, as Python prints it: `Order(number=7, lines=[])`.
    fn write_record(&self, at: Address, class: &Class, name: &str, repr: &mut Repr) -> Read<bool> {
        let members = self.dict(class.dict, MAX_ITEMS)?;
        let fields =
            if let Some(fields) = self.find_key(class.dict, &members, "__dataclass_fields__") {
                self.dict(fields, MAX_SHOWN + 1)?.into_iter().map(|(name, _)| name).collect()
            } else if class.kind == Kind::Tuple
                && let Some(fields) = self.find_key(class.dict, &members, "_fields")
            {
                self.tuple(fields)?
            } else {
                return Ok(false);
            };
        let items = if class.kind == Kind::Tuple { self.tuple(at)? } else { Vec::new() };
        let _ = write!(repr.text, "{}(", name.rsplit('.').next().unwrap_or(name));
        for (i, field) in fields.into_iter().enumerate() {
            if i as u64 == MAX_SHOWN {
                repr.push(", …");
                break;
            }
            let field = self.name(field)?;
            let value = match items.get(i) {
                Some(&item) => Some(item),
                None => self.attribute(at, &field)?,
            };
            let Some(value) = value else { continue };
            let _ = write!(repr.text, "{}{field}=", if i > 0 { ", " } else { "" });
            self.write_named(&field, value, repr);
        }
        repr.push(")");
        Ok(true)
    }

    /// The value that an instance of a subclass of a builtin has as that builtin.
    fn builtin_part(&self, at: Address, kind: Kind, repr: &mut Repr) -> Read<()> {
        match kind {
            Kind::Int => repr.push(&self.int_text(at)?),
            Kind::Float => {
                let value = self.memory.f64(at.offset(self.layout.small.float_value))?;
                repr.push(&float_text(value));
            }
            Kind::Str => self.text(at, repr)?,
            Kind::Tuple => {
                let total = self.size(at, MAX_ITEMS, "tuple")?;
                self.items("(", self.tuple(at)?, total, ")", repr);
            }
            Kind::List => {
                let total = self.memory.u64(at.offset(self.layout.object.ob_size))?;
                self.items("[", self.list(at, MAX_SHOWN)?, total, "]", repr);
            }
            Kind::Dict => {
                let total = self.memory.u64(at.offset(self.layout.dict.used))?;
                self.pairs("{", &self.dict(at, MAX_ITEMS)?, total, "}", repr);
            }
            Kind::Set | Kind::FrozenSet => {
                let total = self.memory.u64(at.offset(self.layout.set.used))?;
                self.items("{", self.set(at)?, total, "}", repr);
            }
            _ => {
                let _ = write!(repr.text, "at {at}");
            }
        }
        Ok(())
    }

    fn text(&self, at: Address, repr: &mut Repr) -> Read<()> {
        let text = self.str(at, MAX_TEXT)?;
        let is_cut = text.chars().count() >= MAX_TEXT;
        let text = if repr.shows_secrets { text.into() } else { masked(&text, is_cut) };
        repr.push(&quoted(&text));
        Ok(())
    }

    fn items(&self, open: &str, items: Vec<Address>, total: u64, close: &str, repr: &mut Repr) {
        repr.push(open);
        // A header, or an item of a dictionary.
        if let [key, value] = items[..] {
            self.write_repr(key, repr);
            repr.push(", ");
            self.write_keyed(key, value, repr);
            repr.push(close);
            return;
        }
        for (i, item) in (0..MAX_SHOWN).zip(items) {
            if i > 0 {
                repr.push(", ");
            }
            self.write_repr(item, repr);
        }
        write_rest(total, repr);
        repr.push(close);
    }

    fn pairs(
        &self,
        open: &str,
        items: &[(Address, Address)],
        total: u64,
        close: &str,
        repr: &mut Repr,
    ) {
        repr.push(open);
        for (i, &(key, value)) in (0..MAX_SHOWN).zip(items) {
            if i > 0 {
                repr.push(", ");
            }
            self.write_repr(key, repr);
            repr.push(": ");
            self.write_keyed(key, value, repr);
        }
        write_rest(total, repr);
        repr.push(close);
    }

    fn named(&self, at: Address, what: &str, repr: &mut Repr) {
        let name = if what == "module" {
            let dict = self.pointer(at.offset(self.layout.small.module_dict)).ok().flatten();
            let name = dict.and_then(|dict| self.dict_get(dict, "__name__").ok().flatten());
            name.and_then(|name| self.name(name).ok()).map(|name| name.to_string())
        } else {
            self.callable_name(at)
        };
        let _ = write!(repr.text, "<{what} {}>", name.as_deref().unwrap_or("?"));
    }
}

fn write_rest(total: u64, repr: &mut Repr) {
    if total > MAX_SHOWN {
        let _ = write!(repr.text, ", … {} more", total - MAX_SHOWN);
    }
}

/// A float as Python's `repr` has it.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf" } else { "-inf" }.to_owned()
    } else if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) {
        // Rust writes 1e16, Python 1e+16; both write the shortest digits that read back.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        format!("{digits}e{sign}{exponent:0>2}")
    } else {
        format!("{value:?}")
    }
}

fn complex_text(real: f64, imag: f64) -> String {
    let part = |value: f64| {
        let text = float_text(value);
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    };
    if real == 0.0 && real.is_sign_positive() {
        format!("{}j", part(imag))
    } else {
        let sign = if imag.is_sign_negative() && !imag.is_nan() { "" } else { "+" };
        format!("({}{sign}{}j)", part(real), part(imag))
    }
}

/// A string in quotes, escaped as Python's `repr` does it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if u32::from(c) < 0x100 && (c.is_control() || c == '\u{a0}' || c == '\u{ad}') => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

fn bytes_text(bytes: &[u8], is_cut: bool) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b if char::from(b) == quote => {
                text.push('\\');
                text.push(quote);
            }
            0x20..0x7f => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push(quote);
    if is_cut {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_prints_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (1e16, "1e+16"),
            (1.25e-7, "1.25e-07"),
            (0.0001, "0.0001"),
            (123_456_789_012_345.0, "123456789012345.0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(float_text(value), text);
        }
        assert_eq!(float_text(f64::NAN), "nan");
    }

    #[test]
    fn complex_as_python_prints_it() {
        assert_eq!(complex_text(1.0, 2.0), "(1+2j)");
        assert_eq!(complex_text(0.0, -2.5), "-2.5j");
        assert_eq!(complex_text(-1.5, -0.0), "(-1.5-0j)");
    }

    #[test]
    fn strings_as_python_prints_them() {
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"it\""), "'it\\'s \"it\"'");
        assert_eq!(quoted("a\x1b[31m\u{85}\n"), "'a\\x1b[31m\\x85\\n'");
        assert_eq!(bytes_text(b"a'\x00\xff", false), "b\"a'\\x00\\xff\"");
    }
}
