//! Pools of connections: what each library calls the parts of its own.

/// A library's pool of connections, as far as tasks wait at it.
///
/// Names are those of attributes of the pool, if nothing else is said.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Whose it is, as a report says it.
    pub by: &'static str,
    /// How many connections it may have: the sum of these. A negative one is no limit.
    pub size: &'static [Way],
    /// Which are out.
    pub out: Out,
    /// How many connections to one host it may have, and what has the items of each.
    pub per_host: Option<[&'static str; 2]>,
    /// Who waits.
    pub line: Line,
    /// What nobody but the pool refers to any more when a connection is lost.
    pub lost: Option<Lost>,
}

/// Attributes one behind the other, up to a number, or to a collection that stands for its length.
pub type Way = &'static [&'static str];

/// How a pool knows which connections are out.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Out {
    /// It has an item for each of them.
    Items {
        /// What has these, and maybe others.
        items: &'static str,
        /// What an item has while its connection is out; all of them are where there is no such
        /// thing.
        is_out: Option<&'static str>,
        /// The list of the connections that items have, by one of these names: several items may
        /// have the same one, and what is not in the list is closed.
        connections: &'static [&'static str],
    },
    /// It only counts them, those that are being made among them.
    Counted {
        /// What makes up the number,
        plus: &'static [Way],
        /// and what is to be taken from it.
        minus: Way,
        /// The class of what those have who have a connection.
        class: &'static str,
        /// The attribute of that which is the pool while it is out.
        pool: &'static str,
    },
}

/// How a pool knows who waits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Line {
    /// Its items whose connections are not out; each waits in a function of its own
    /// ([`Purpose::InLine`](super::Purpose::InLine)).
    Items,
    /// Objects in a collection, each of which waits in a function of its own, but for those that
    /// have one of these attributes: they have been served.
    Objects(&'static str, &'static [&'static str]),
    /// Futures, at the end of a way of attributes.
    Futures(Way),
    /// Futures in a dictionary, by what they want a connection to.
    ByKey(&'static str),
}

/// How it shows that a connection which is out cannot be given back any more.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Lost {
    /// The attribute of the item that who has the connection refers to; the item itself where there
    /// is none.
    pub of: Option<&'static str>,
    /// How many references to it are the library's own.
    pub references: u64,
}
