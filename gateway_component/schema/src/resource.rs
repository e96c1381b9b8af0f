//! Where `$ref` leads: resources (`$id`), anchors and JSON pointers inside the given documents. Nothing is fetched.

use crate::json::{Json, Members};
use crate::uri::{percent_decode, resolve, split_fragment};

/// The rules that a schema is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// draft-07; draft-04 and draft-06 are read by its rules too.
    Draft7,
    /// 2020-12; 2019-09 and anything unknown are read by its rules too.
    Draft202012,
}

impl Dialect {
    fn of(uri: &str) -> Self {
        match uri.split_once("://json-schema.org/draft-0") {
            Some((_, rest)) if rest.starts_with(['3', '4', '6', '7']) => Dialect::Draft7,
            _ => Dialect::Draft202012,
        }
    }
}

/// A place in a schema: the subschema and the resource that its references are relative to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'s> {
    pub(crate) schema: &'s Json<'s>,
    pub(crate) resource: usize,
}

/// A schema with its own base URI.
#[derive(Debug)]
struct Resource<'s> {
    root: &'s Json<'s>,
    base: String,
    /// Where a document was found, when its `$id` says something else.
    location: Option<&'s str>,
    dialect: Dialect,
    anchors: Vec<Anchor<'s>>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor<'s> {
    name: &'s str,
    schema: &'s Json<'s>,
    dynamic: bool,
}

/// Why a reference leads nowhere; completes the sentence "`$ref` …".
pub(crate) type Dangling = &'static str;

#[derive(Debug)]
pub(crate) struct Resources<'s> {
    list: Vec<Resource<'s>>,
    documents: &'s [(&'s str, &'s Json<'s>)],
    indexed: bool,
    default: Dialect,
}

pub(crate) const ARRAYS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
pub(crate) const MAPS: [&str; 7] = [
    "$defs",
    "definitions",
    "properties",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "$definitions",
];
pub(crate) const SINGLES: [&str; 12] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

impl<'s> Resources<'s> {
    pub(crate) fn new(
        schema: &'s Json<'s>,
        documents: &'s [(&'s str, &'s Json<'s>)],
        default: Dialect,
    ) -> Self {
        let mut resources = Resources { list: Vec::with_capacity(1), documents, indexed: false, default };
        let (base, dialect) = resources.identity(schema, "", default);
        resources.list.push(Resource { root: schema, base, location: None, dialect, anchors: Vec::new() });
        resources
    }

    pub(crate) fn dialect(&self, resource: usize) -> Dialect {
        self.list[resource].dialect
    }

    /// The base URI and dialect of a root; without `$id` or `$schema`, what it inherits.
    fn identity(&self, root: &'s Json<'s>, base: &str, inherited: Dialect) -> (String, Dialect) {
        let dialect = root.get("$schema").and_then(Json::as_str).map_or(inherited, Dialect::of);
        let id = root.as_object().and_then(|map| own_id(map, dialect));
        (id.map_or_else(|| base.to_owned(), |id| resolve(base, id)), dialect)
    }

    /// The resource that a subschema belongs to: its own if it has an `$id`, else the one it was reached in.
    pub(crate) fn enter(&mut self, map: &'s Members<'s>, node: Node<'s>) -> usize {
        if own_id(map, self.dialect(node.resource)).is_none() {
            return node.resource;
        }
        if let Some(known) = self.list.iter().position(|resource| std::ptr::eq(resource.root, node.schema)) {
            return known;
        }
        let (base, dialect) =
            self.identity(node.schema, &self.list[node.resource].base, self.dialect(node.resource));
        self.list.push(Resource { root: node.schema, base, location: None, dialect, anchors: Vec::new() });
        self.list.len() - 1
    }

    /// The subschema that a reference names.
    pub(crate) fn resolve(&mut self, reference: &str, from: usize) -> Result<Node<'s>, Dangling> {
        let (uri, fragment) = split_fragment(reference);
        let resource = if uri.is_empty() { from } else { self.by_uri(&resolve(&self.list[from].base, uri))? };
        let root = Node { schema: self.list[resource].root, resource };
        if fragment.is_empty() {
            return Ok(root);
        }
        let fragment = percent_decode(fragment);
        if fragment.starts_with('/') {
            return self.pointer(root, &fragment);
        }
        self.index();
        let anchor = self.list[resource].anchors.iter().find(|anchor| anchor.name == fragment);
        let anchor = anchor.ok_or("names an anchor that the schema does not have")?;
        Ok(Node { schema: anchor.schema, resource })
    }

    /// `$dynamicRef`: as `$ref`, but if it leads to a dynamic anchor, the outermost resource in scope with it wins.
    pub(crate) fn resolve_dynamic(
        &mut self,
        reference: &str,
        from: usize,
        scope: &[usize],
    ) -> Result<Node<'s>, Dangling> {
        let target = self.resolve(reference, from)?;
        let (_, fragment) = split_fragment(reference);
        let dynamic = |resource: usize| {
            self.list[resource]
                .anchors
                .iter()
                .find(|anchor| anchor.dynamic && anchor.name == fragment)
                .copied()
        };
        if fragment.is_empty() || fragment.starts_with('/') || dynamic(target.resource).is_none() {
            return Ok(target);
        }
        let outermost = scope.iter().find_map(|&resource| Some((dynamic(resource)?, resource)));
        Ok(outermost.map_or(target, |(anchor, resource)| Node { schema: anchor.schema, resource }))
    }

    fn by_uri(&mut self, uri: &str) -> Result<usize, Dangling> {
        self.index();
        self.list
            .iter()
            .position(|resource| resource.base == uri || resource.location == Some(uri))
            .ok_or("leads outside the schema; other documents are never fetched")
    }

    fn pointer(&mut self, root: Node<'s>, pointer: &str) -> Result<Node<'s>, Dangling> {
        let mut node = root;
        for token in pointer.split('/').skip(1) {
            let next = match node.schema {
                Json::Object(map) if token.contains('~') => {
                    map.get(&token.replace("~1", "/").replace("~0", "~"))
                }
                Json::Object(map) => map.get(token),
                Json::Array(items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            node.schema = next.ok_or("leads to nothing in the schema")?;
            if let Json::Object(map) = node.schema {
                node.resource = self.enter(map, node);
            }
        }
        Ok(node)
    }

    /// Finds every resource and anchor, once, and only if a reference needs them.
    fn index(&mut self) {
        if std::mem::replace(&mut self.indexed, true) {
            return;
        }
        let mut pending = vec![Node { schema: self.list[0].root, resource: 0 }];
        for &(location, root) in self.documents {
            let (base, dialect) = self.identity(root, location, self.default);
            let resource = Resource { root, base, location: Some(location), dialect, anchors: Vec::new() };
            pending.push(Node { schema: root, resource: self.list.len() });
            self.list.push(resource);
        }
        while let Some(node) = pending.pop() {
            let Json::Object(map) = node.schema else {
                continue;
            };
            let resource = self.enter(map, node);
            self.note_anchors(map, Node { resource, ..node });
            let mut push = |schema| pending.push(Node { schema, resource });
            SINGLES.iter().filter_map(|key| map.get(key)).for_each(&mut push);
            ARRAYS.iter().filter_map(|key| map.get(key)?.as_array()).flatten().for_each(&mut push);
            MAPS.iter()
                .filter_map(|key| map.get(key)?.as_object())
                .flat_map(Members::values)
                .for_each(&mut push);
        }
    }

    fn note_anchors(&mut self, map: &'s Members<'s>, node: Node<'s>) {
        let resource = &mut self.list[node.resource];
        let text = |key: &str| map.get(key).and_then(Json::as_str);
        let mut note = |name, dynamic| resource.anchors.push(Anchor { name, schema: node.schema, dynamic });
        match resource.dialect {
            Dialect::Draft7 if map.contains_key("$ref") => {}
            Dialect::Draft7 => {
                // draft-07 writes an anchor as an `$id` with nothing but a fragment.
                if let Some((_, name)) =
                    text("$id").and_then(|id| id.split_once('#')).filter(|(_, name)| !name.is_empty())
                {
                    note(name, false);
                }
            }
            Dialect::Draft202012 => {
                if let Some(name) = text("$anchor") {
                    note(name, false);
                }
                if let Some(name) = text("$dynamicAnchor") {
                    note(name, true);
                }
            }
        }
    }
}

/// The `$id` that gives a schema its own base URI, without its fragment.
fn own_id<'m>(map: &'m Members<'_>, dialect: Dialect) -> Option<&'m str> {
    let id = map.get("$id")?.as_str()?;
    // draft-07 ignores everything beside `$ref`.
    if dialect == Dialect::Draft7 && map.contains_key("$ref") {
        return None;
    }
    let (id, _) = split_fragment(id);
    (!id.is_empty()).then_some(id)
}
