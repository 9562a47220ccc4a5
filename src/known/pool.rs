//! Pools of connections: what each library calls the parts of its own.

/// A library's pool of connections, as far as tasks wait at it.
///
/// Names are those of attributes of the pool, if nothing else is said.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Whose it is, as a report says it.
    pub by: &'static str,
    /// How many connections it may have; 0 is no limit.
    pub size: &'static str,
    /// What has one item for each connection that is out, and maybe others.
    pub items: &'static str,
    /// What an item has while its connection is out; all of them are where there is no such thing.
    pub is_out: Option<&'static str>,
    /// The list of the connections that items have, by one of these names: several items may have
    /// the same one, and what is not in the list is closed.
    pub connections: &'static [&'static str],
    /// How many connections to one host it may have, and what has the items of each.
    pub per_host: Option<[&'static str; 2]>,
    /// Who waits.
    pub line: Line,
    /// What nobody but the pool refers to any more when a connection is lost.
    pub lost: Option<Lost>,
}

/// How a pool knows who waits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Line {
    /// Its items whose connections are not out; each waits in a function of its own
    /// ([`Purpose::InLine`](super::Purpose::InLine)).
    Items,
    /// Futures, at the end of a way of attributes.
    Futures(&'static [&'static str]),
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
