//! Contexts: which variable has which value, in the trees that CPython keeps them in (a hash array
//! mapped trie).
//!
//! context: `[ head ; prev ; tree ]`, tree: `[ head ; root ; weakrefs ; count ]`
//!
//! | node | shape |
//! |---|---|
//! | bitmap | `[ var head ; bitmap: u32 ; pairs ]`, a pair for each bit: (key, value), or (null, node) |
//! | array | `[ head ; 32 nodes or null ; count ]` |
//! | collision | `[ var head ; hash: i32 ; pairs ]` |
//!
//! Nothing of a tree is ever changed: who sets a variable gets a new one, which shares with the old
//! one what is the same. A tree that doesn't have as many variables as it says is none.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Class, Read, Reader, Unreadable};
use crate::memory::Address;

/// Variables of one context; programs have some ten, and one that keeps thousands of them there
/// has other worries.
const MAX_VARIABLES: u64 = 10_000;
/// Nodes one below the other: 32 bits of a hash by five, and one for those of the same hash.
const MAX_DEPTH: usize = 8;
/// Nodes of all trees that are read together; those of 2,000 requests with 20 variables each are some
/// 6,000.
const MAX_NODES: usize = 1 << 17;
/// How much of a node is read at first: all of the largest but one of collisions.
const NODE_LEN: u64 = 288;
/// How much of a context, of its tree, and of a variable tells all of it.
const HEAD_LEN: u64 = 48;
/// Children of an array node.
const WIDTH: u64 = 32;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Bitmap,
    Array,
    Collision,
}

/// A tree that is being read.
#[derive(Default)]
struct Open {
    variables: Vec<(Address, Address)>,
    count: u64,
    /// How many more nodes it can have.
    nodes: u64,
    problem: Option<Unreadable>,
}

impl Reader<'_> {
    /// The trees of some contexts; `None` of one that has no variables.
    ///
    /// Two contexts with the same tree are copies of one another.
    pub fn trees(&self, contexts: &[Address]) -> Vec<Read<Option<Address>>> {
        self.memory.prefetch(contexts.iter().map(|at| (*at, HEAD_LEN)));
        let mut class = None;
        let tree = |&at: &Address| {
            let own = self.memory.pointer(at.offset(self.layout.object.ob_type))?;
            if class != Some(own) && !self.is_named(at, "Context")? {
                return Err(Unreadable::bad(at, "context"));
            }
            class = Some(own);
            self.must_pointer(at.offset(self.layout.context.vars), "context")
        };
        let trees: Vec<Read<Address>> = contexts.iter().map(tree).collect();
        self.memory.prefetch(trees.iter().flatten().map(|at| (*at, HEAD_LEN)));
        let non_empty = |tree: Read<Address>| {
            let at = tree?;
            let count = self.memory.u64(at.offset(self.layout.context.hamt_count))?;
            Ok((count > 0).then_some(at))
        };
        trees.into_iter().map(non_empty).collect()
    }

    /// The variables of some trees with their values, one level of all of them at a time.
    pub fn variables(&self, trees: &[Address]) -> Vec<Read<Vec<(Address, Address)>>> {
        let mut kinds = Vec::new();
        let mut open = Vec::with_capacity(trees.len());
        let mut nodes = Vec::new();
        for (number, &at) in trees.iter().enumerate() {
            open.push(match self.tree(at) {
                Ok((count, root)) => {
                    nodes.push((number, root));
                    // Each variable has one way down.
                    let most = count * MAX_DEPTH as u64 + 1;
                    Open { count, nodes: most, ..Open::default() }
                }
                Err(problem) => Open { problem: Some(problem), ..Open::default() },
            });
        }
        let mut room = MAX_NODES;
        for _ in 0..MAX_DEPTH {
            self.memory.prefetch(nodes.iter().map(|(_, at)| (*at, NODE_LEN)));
            let mut below = Vec::new();
            for (number, at) in nodes.drain(..) {
                let Some(tree) = open.get_mut(number).filter(|tree| tree.problem.is_none()) else {
                    continue;
                };
                let left = tree.nodes.checked_sub(1).filter(|_| room > 0);
                room = room.saturating_sub(1);
                let children = match left {
                    Some(left) => {
                        tree.nodes = left;
                        self.node(at, tree, &mut kinds)
                    }
                    None => Err(Unreadable::bad(at, "node of a context")),
                };
                match children {
                    Ok(children) => below.extend(children.into_iter().map(|at| (number, at))),
                    Err(problem) => tree.problem = Some(problem),
                }
            }
            nodes = below;
        }
        for (number, at) in nodes {
            if let Some(tree) = open.get_mut(number) {
                tree.problem = Some(Unreadable::bad(at, "node of a context"));
            }
        }
        let whole = |(tree, at): (Open, &Address)| match tree.problem {
            Some(problem) => Err(problem),
            None if tree.variables.len() as u64 != tree.count => {
                Err(Unreadable::bad(*at, "tree of a context"))
            }
            None => Ok(tree.variables),
        };
        open.into_iter().zip(trees).map(whole).collect()
    }

    /// The name of a variable.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn variable_name(&self, at: Address) -> Read<Arc<str>> {
        if !self.is_named(at, "ContextVar")? {
            return Err(Unreadable::bad(at, "context variable"));
        }
        self.name(self.must_pointer(at.offset(self.layout.context.var_name), "context variable")?)
    }

    /// Reads what [`variable_name`](Self::variable_name) will read, of all of them together.
    pub fn prefetch_variables(&self, variables: &[Address]) {
        self.memory.prefetch(variables.iter().map(|at| (*at, HEAD_LEN)));
        let name = |at: &Address| self.pointer(at.offset(self.layout.context.var_name)).ok()?;
        self.memory.prefetch(variables.iter().filter_map(name).map(|at| (at, 2 * HEAD_LEN)));
    }

    /// Whether an object is the token of a variable that was set in a context, was not set back since,
    /// and has another value than before among `variables`.
    pub fn is_token_of(
        &self,
        at: Address,
        context: Address,
        variables: &[(Address, Address)],
    ) -> bool {
        let fields = &self.layout.context;
        if self.is_named(at, "Token") != Ok(true) {
            return false;
        }
        let pointer = |field| self.memory.pointer(at.offset(field));
        let (Ok(of), Ok(variable), Ok(old)) = (
            pointer(fields.token_context),
            pointer(fields.token_var),
            pointer(fields.token_old_value),
        ) else {
            return false;
        };
        let is_open = self.memory.i32(at.offset(fields.token_used)) == Ok(0);
        let value = variables.iter().find(|(known, _)| *known == variable).map(|(_, value)| *value);
        is_open && of == context && value.is_some_and(|value| value != old)
    }

    /// How many variables a tree has, and its root.
    fn tree(&self, at: Address) -> Read<(u64, Address)> {
        let bad = || Unreadable::bad(at, "tree of a context");
        let fields = &self.layout.context;
        let count = self.memory.u64(at.offset(fields.hamt_count))?;
        if count > MAX_VARIABLES || !self.is_named(at, "hamt")? {
            return Err(bad());
        }
        Ok((count, self.must_pointer(at.offset(fields.hamt_root), "tree of a context")?))
    }

    /// Takes in what a node has; gives the nodes below it.
    fn node(
        &self,
        at: Address,
        tree: &mut Open,
        kinds: &mut Vec<(Address, Node)>,
    ) -> Read<Vec<Address>> {
        let bad = || Unreadable::bad(at, "node of a context");
        let fields = &self.layout.context;
        let mut below = Vec::new();
        let (array, words, may_have_nodes) = match self.node_kind(at, kinds)? {
            Node::Array => {
                let children = self.pointers(at.offset(fields.array), WIDTH)?;
                let children: Vec<Address> =
                    children.into_iter().filter_map(Address::non_null).collect();
                let count = self.memory.u64(at.offset(fields.array_count))?;
                return if count == children.len() as u64 { Ok(children) } else { Err(bad()) };
            }
            Node::Bitmap => {
                let bits = self.memory.u32(at.offset(fields.bitmap))?.count_ones();
                let words = self.size(at, 2 * WIDTH, "node of a context")?;
                if words != 2 * u64::from(bits) {
                    return Err(bad());
                }
                (fields.bitmap_array, words, true)
            }
            Node::Collision => {
                let words = self.size(at, 2 * tree.count, "node of a context")?;
                (fields.collision_array, words, false)
            }
        };
        for pair in self.pointers(at.offset(array), words)?.as_chunks::<2>().0 {
            match pair.map(Address::non_null) {
                [Some(key), Some(value)] => tree.variables.push((key, value)),
                [None, Some(node)] if may_have_nodes => below.push(node),
                _ => return Err(bad()),
            }
        }
        if tree.variables.len() as u64 > tree.count { Err(bad()) } else { Ok(below) }
    }

    fn node_kind(&self, at: Address, kinds: &mut Vec<(Address, Node)>) -> Read<Node> {
        let class = self.memory.pointer(at.offset(self.layout.object.ob_type))?;
        if let Some((_, kind)) = kinds.iter().find(|(known, _)| *known == class) {
            return Ok(*kind);
        }
        let known = self.class(class)?;
        let kind = match &*known.name {
            "hamt_bitmap_node" => Node::Bitmap,
            "hamt_array_node" => Node::Array,
            "hamt_collision_node" => Node::Collision,
            _ => return Err(Unreadable::bad(at, "node of a context")),
        };
        if known.is_python() || !self.is_own(&known) {
            return Err(Unreadable::bad(at, "node of a context"));
        }
        kinds.push((class, kind));
        Ok(kind)
    }

    /// Whether an object is of the interpreter's own class of this name, without its module.
    pub(in crate::python) fn is_named(&self, at: Address, name: &str) -> Read<bool> {
        let class = self.class_of(at)?;
        let last = |class: &Class| class.name.rsplit('.').next() == Some(name);
        Ok(!class.is_python() && last(&class) && self.is_own(&class))
    }
}
