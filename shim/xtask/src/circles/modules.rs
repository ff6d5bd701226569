//! The modules of a crate, read from its files: what each defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, UseTree, Visibility};

use super::paths::{self, Named};
use crate::error::Error;

/// The index of a module in [`Crate::modules`].
pub(super) type ModuleId = usize;

/// The modules of one crate; the root is the first.
pub(super) struct Crate {
    pub(super) modules: Vec<Module>,
}

/// One module. Inline modules share their parent's file.
#[derive(Default)]
pub(super) struct Module {
    pub(super) file: PathBuf,
    pub(super) parent: Option<ModuleId>,
    pub(super) children: BTreeMap<String, ModuleId>,
    /// Names of the items that are defined here.
    pub(super) items: BTreeSet<String>,
    pub(super) uses: Vec<Use>,
    pub(super) named: Named,
}

/// One leaf of a `use` declaration.
pub(super) struct Use {
    pub(super) path: Vec<String>,
    /// The name it brings into scope; none of a glob.
    pub(super) name: Option<String>,
    /// Whether others can name it through this module.
    pub(super) is_reexport: bool,
}

impl Crate {
    /// Reads the crate whose root file is `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let mut read = Self { modules: Vec::new() };
        // The root's children are beside it, whatever its name.
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        read.module_of_file(root, &folder, None)?;
        Ok(read)
    }

    fn module_of_file(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId, Error> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| Error::Read { path: file.to_owned(), source })?;
        let parsed = syn::parse_file(&text)
            .map_err(|source| Error::Parse { path: file.to_owned(), source })?;
        self.module(parsed.items, file, folder, parent)
    }

    fn module(
        &mut self,
        items: Vec<Item>,
        file: &Path,
        folder: &Path,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId, Error> {
        let id = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, ..Module::default() });
        for item in items {
            match item {
                item if is_test(attributes(&item)) => {}
                Item::Mod(declared) => {
                    let name = declared.ident.to_string();
                    let child = self.child(declared, file, folder, id)?;
                    self.modules[id].children.insert(name, child);
                }
                Item::Use(declared) => self.modules[id].add_use(&declared),
                Item::Impl(mut block) => {
                    block.items.retain(|item| !is_test(impl_attributes(item)));
                    self.modules[id].add_code(block.to_token_stream());
                }
                item => {
                    self.modules[id].items.extend(name_of(&item));
                    self.modules[id].add_code(item.to_token_stream());
                }
            }
        }
        Ok(id)
    }

    fn child(
        &mut self,
        declared: ItemMod,
        file: &Path,
        folder: &Path,
        parent: ModuleId,
    ) -> Result<ModuleId, Error> {
        let name = declared.ident.to_string();
        let own_folder = folder.join(&name);
        if let Some((_, items)) = declared.content {
            return self.module(items, file, &own_folder, Some(parent));
        }
        let candidates = [folder.join(format!("{name}.rs")), own_folder.join("mod.rs")];
        let found = candidates.into_iter().find(|candidate| candidate.is_file());
        let found = found.ok_or(Error::MissingModule { path: file.to_owned(), name })?;
        self.module_of_file(&found, &own_folder, Some(parent))
    }
}

impl Module {
    fn add_use(&mut self, declared: &ItemUse) {
        if declared.leading_colon.is_none() {
            let is_reexport = !matches!(declared.vis, Visibility::Inherited);
            leaves(&declared.tree, &mut Vec::new(), is_reexport, &mut self.uses);
        }
    }

    fn add_code(&mut self, code: proc_macro2::TokenStream) {
        let found = paths::named(code);
        for declared in found.uses {
            self.add_use(&declared);
        }
        self.named.paths.extend(found.named.paths);
        self.named.bare.extend(found.named.bare);
    }
}

fn leaves(tree: &UseTree, path: &mut Vec<String>, is_reexport: bool, uses: &mut Vec<Use>) {
    let mut leaf = |last: String, name: Option<String>| {
        // `self` as a leaf names the module in front of it.
        let last = (last != "self").then_some(last);
        let name = if last.is_none() { path.last().cloned() } else { name };
        let path = path.iter().cloned().chain(last).collect();
        uses.push(Use { path, name, is_reexport });
    };
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            leaves(&step.tree, path, is_reexport, uses);
            path.pop();
        }
        UseTree::Name(end) => leaf(end.ident.to_string(), Some(end.ident.to_string())),
        UseTree::Rename(end) => leaf(end.ident.to_string(), Some(end.rename.to_string())),
        UseTree::Glob(_) => uses.push(Use { path: path.clone(), name: None, is_reexport }),
        UseTree::Group(group) => {
            for tree in &group.items {
                leaves(tree, path, is_reexport, uses);
            }
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string().replace(' ', "");
        text == "#[cfg(test)]" || text.starts_with("#[cfg(all(test,") || text == "#[test]"
    })
}

fn impl_attributes(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        _ => &[],
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
