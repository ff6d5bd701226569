//! The names that code mentions, found in its tokens so that those inside macros count too.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::ItemUse;

/// What code names.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Paths of two segments and more, as written.
    pub(super) paths: Vec<Vec<String>>,
    /// Names that stand alone as types, or as functions or macros that are called.
    pub(super) bare: BTreeSet<String>,
}

/// What code names, and the `use` declarations inside it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) named: Named,
    pub(super) uses: Vec<ItemUse>,
}

/// Returns what `code` names.
pub(super) fn named(code: TokenStream) -> Found {
    let mut found = Found::default();
    walk(code, &mut found);
    found
}

fn walk(code: TokenStream, found: &mut Found) {
    let tokens: Vec<TokenTree> = code.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Group(group) => {
                walk(group.stream(), found);
                at += 1;
            }
            TokenTree::Ident(ident) if ident == "use" => {
                let end = tokens[at..].iter().position(|token| is_punct(token, ';'));
                let end = end.map_or(tokens.len(), |end| at + end + 1);
                let declared = tokens[at..end].iter().cloned().collect();
                found.uses.extend(syn::parse2::<ItemUse>(declared));
                at = end;
            }
            TokenTree::Ident(_) => at = path(&tokens, at, found),
            _ => at += 1,
        }
    }
}

/// Takes the path that begins at `start`, and returns where it ends.
fn path(tokens: &[TokenTree], start: usize, found: &mut Found) -> usize {
    let mut segments = Vec::new();
    let mut at = start;
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        segments.push(ident.to_string());
        at += 1;
        if !is_double_colon(tokens, at) {
            break;
        }
        at += 2;
    }
    let before = start.checked_sub(1).and_then(|before| tokens.get(before));
    // `.name` is a member, and `::name` the rest of a path that began with `<T>` or outside.
    if before.is_some_and(|token| is_punct(token, '.') || is_punct(token, ':'))
        && !is_type_of_binding(tokens, start)
    {
        return at;
    }
    match &segments[..] {
        [name] if stands_for_item(name, before, tokens.get(at)) => {
            found.named.bare.insert(name.clone());
        }
        [_] => {}
        _ => found.named.paths.push(segments),
    }
    at
}

/// Whether the colon before `start` is that of `name: Type`.
fn is_type_of_binding(tokens: &[TokenTree], start: usize) -> bool {
    let single =
        |token: &TokenTree| matches!(token, TokenTree::Punct(colon) if colon.as_char() == ':');
    let before_colon = start.checked_sub(2).and_then(|at| tokens.get(at));
    single(&tokens[start - 1]) && !before_colon.is_some_and(single)
}

fn stands_for_item(name: &str, before: Option<&TokenTree>, after: Option<&TokenTree>) -> bool {
    let defines =
        matches!(before, Some(TokenTree::Ident(word)) if word == "fn" || word == "struct");
    let is_called = match after {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        Some(token) => is_punct(token, '!'),
        None => false,
    };
    !defines && (name.starts_with(char::is_uppercase) || is_called)
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    let first = matches!(tokens.get(at), Some(TokenTree::Punct(colon))
        if colon.as_char() == ':' && colon.spacing() == Spacing::Joint);
    first && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))
}
