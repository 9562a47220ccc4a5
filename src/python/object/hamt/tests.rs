//! Trees of variables in the memory of each version: of every shape, and damaged.

use crate::memory::Address;
use crate::python::object::Read;
use crate::python::tests::{Heap, MINORS, NOWHERE};

/// A hash, a variable, its value.
type Item = (u32, Address, Address);

/// Some variables with hashes that lie anywhere.
fn items(heap: &mut Heap, count: u32) -> Vec<Item> {
    let hash = |number: u32| number.wrapping_mul(2_654_435_761).rotate_left(7);
    let item = |number| (hash(number), heap.variable("v"), heap.int(number.into()));
    (0..count).map(item).collect()
}

/// What is read of a context.
fn read(heap: &Heap, context: Address) -> Read<Vec<(Address, Address)>> {
    heap.read(|reader| {
        let Some(tree) = reader.trees(&[context])[0]? else { return Ok(Vec::new()) };
        reader.variables(&[tree]).remove(0)
    })
}

/// The same in no order.
fn sorted(items: &[Item]) -> Vec<(Address, Address)> {
    let mut all: Vec<_> = items.iter().map(|item| (item.1, item.2)).collect();
    all.sort_unstable();
    all
}

fn assert_read(heap: &Heap, context: Address, items: &[Item], what: &str) {
    let mut found = read(heap, context).unwrap_or_else(|error| panic!("{what}: {error}"));
    found.sort_unstable();
    assert_eq!(found, sorted(items), "{what}");
}

#[test]
fn contexts_of_any_size() {
    for minor in MINORS {
        for count in [1, 5, 16, 17, 20, 40, 2000] {
            let mut heap = Heap::of(minor);
            let items = items(&mut heap, count);
            let context = heap.context(&items);
            assert_read(&heap, context, &items, &format!("{count} in 3.{minor}"));
        }
    }
}

#[test]
fn hashes_that_are_nearly_or_wholly_the_same() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let mut all = items(&mut heap, 20);
        // Told apart by their last two bits, seven nodes down; and not at all.
        for hash in [0x3fff_fff7, 0x7fff_fff7, 0xbfff_fff7, 77, 77, 77, 77, 77] {
            all.push((hash, heap.variable("v"), heap.none()));
        }
        let context = heap.context(&all);
        assert_read(&heap, context, &all, &format!("3.{minor}"));
        // The deepest that there is: the same in all but the last bits, and the same altogether.
        let mut all = Vec::new();
        for hash in [7, 7 | 1 << 31, 7 | 1 << 31] {
            all.push((hash, heap.variable("v"), heap.none()));
        }
        let context = heap.context(&all);
        assert_read(&heap, context, &all, &format!("the deepest in 3.{minor}"));
    }
}

#[test]
fn many_trees_are_read_together_and_each_has_its_own() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let of: Vec<Vec<Item>> = [3, 40, 1].map(|count| items(&mut heap, count)).into();
        let mut contexts: Vec<Address> = of.iter().map(|items| heap.context(items)).collect();
        let root = heap.tree_node(&[], 0);
        let empty = heap.tree(root, 0);
        contexts.extend([heap.context_of(empty), heap.none(), NOWHERE]);
        heap.read(|reader| {
            let trees = reader.trees(&contexts);
            assert_eq!(trees[3], Ok(None), "3.{minor}");
            assert!(trees[4].is_err() && trees[5].is_err());
            let trees: Vec<Address> =
                trees[..3].iter().map(|tree| tree.unwrap().unwrap()).collect();
            let unreadable = [trees[1], NOWHERE, trees[0], trees[2], contexts[0]];
            let read = reader.variables(&unreadable);
            assert!(read[1].is_err() && read[4].is_err());
            for (found, items) in [(0, 1), (2, 0), (3, 2)] {
                let mut found = read[found].clone().unwrap();
                found.sort_unstable();
                assert_eq!(found, sorted(&of[items]), "3.{minor}");
            }
        });
    }
}

#[test]
fn what_is_damaged_is_no_tree() {
    for minor in MINORS {
        let check = |what: &str, damage: &dyn Fn(&mut Heap, Address, Address)| {
            let mut heap = Heap::of(minor);
            let mut all = items(&mut heap, 40);
            all.extend([0, 1].map(|_| (77, heap.variable("v"), heap.none())));
            let root = heap.tree_node(&all, 0);
            let tree = heap.tree(root, all.len() as u64);
            let context = heap.context_of(tree);
            assert_read(&heap, context, &all, what);
            damage(&mut heap, tree, root);
            assert!(read(&heap, context).is_err(), "{what} in 3.{minor}");
        };
        let fields = Heap::of(minor).layout.context;
        let size = Heap::of(minor).layout.object.ob_size;
        let class = Heap::of(minor).layout.object.ob_type;
        check("one more variable", &|heap, tree, _| heap.word(tree.offset(fields.hamt_count), 43));
        check("one less", &|heap, tree, _| heap.word(tree.offset(fields.hamt_count), 41));
        check("far too many", &|heap, tree, _| {
            heap.word(tree.offset(fields.hamt_count), u64::MAX);
        });
        check("no root", &|heap, tree, _| heap.link(tree.offset(fields.hamt_root), Address::NULL));
        check("a root that is not there", &|heap, tree, _| {
            heap.link(tree.offset(fields.hamt_root), NOWHERE);
        });
        check("a ring", &|heap, _, root| {
            for child in 0..32 {
                heap.link(root.offset(fields.array + 8 * child), root);
            }
            heap.word(root.offset(fields.array_count), 32);
        });
        check("one child less", &|heap, _, root| {
            heap.link(root.offset(fields.array), Address::NULL);
        });
        check("another node", &|heap, _, root| {
            let none = heap.none();
            heap.link(root.offset(fields.array), none);
        });
        check("a node of the program's", &|heap, _, root| {
            let base = heap.class("object");
            let own = heap.python_class("app", "hamt_array_node", base);
            heap.link(root.offset(class), own);
        });
        for count in [u64::MAX, 1 << 40, 3, 0] {
            check("a node of no such size", &|heap, tree, _| {
                let items = items(heap, 3);
                let root = heap.tree_node(&items, 0);
                heap.word(root.offset(size), count);
                heap.link(tree.offset(fields.hamt_root), root);
                heap.word(tree.offset(fields.hamt_count), 3);
            });
        }
        check("a bitmap node inside itself", &|heap, tree, _| {
            let items = items(heap, 3);
            let root = heap.tree_node(&items, 0);
            heap.link(root.offset(fields.bitmap_array), Address::NULL);
            heap.link(root.offset(fields.bitmap_array + 8), root);
            heap.link(tree.offset(fields.hamt_root), root);
            heap.word(tree.offset(fields.hamt_count), 10_000);
        });
        check("a variable without a value", &|heap, tree, _| {
            let variable = heap.variable("v");
            let root = heap.tree_node(&[(1, variable, Address::NULL)], 0);
            heap.link(tree.offset(fields.hamt_root), root);
            heap.word(tree.offset(fields.hamt_count), 1);
        });
    }
}

#[test]
fn tokens_tell_what_was_set_in_which_context() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (variable, other) = (heap.variable("trace"), heap.variable("other"));
        let [old, value] = [1, 2].map(|number| heap.int(number));
        let items = [(1, variable, value)];
        let [context, copy] = [heap.context(&items), heap.context(&items)];
        let used = heap.token(context, variable, old);
        heap.int32(used.offset(heap.layout.context.token_used), 1);
        let tokens = [
            (heap.token(context, variable, old), true),
            (heap.token(context, variable, Address::NULL), true),
            // Set to what it was; in another context; a variable that is not there; set back.
            (heap.token(context, variable, value), false),
            (heap.token(copy, variable, old), false),
            (heap.token(context, other, old), false),
            (used, false),
            (value, false),
            (NOWHERE, false),
        ];
        heap.read(|reader| {
            let variables = [(variable, value)];
            for (at, expected) in tokens {
                assert_eq!(reader.is_token_of(at, context, &variables), expected, "3.{minor}");
            }
        });
    }
}
