//! What a parser finds in Rust source: functions, `unsafe`, `.unwrap()`.

use proc_macro2::{Delimiter, LineColumn, TokenStream, TokenTree};
use serde::{Deserialize, Serialize};
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

/// Of each file the longest functions are remembered: enough for a list of the ten longest of all.
const LONGEST: usize = 10;

/// Parsers and visitors go as deep as the source does, and a stack has an end: at most so many
/// tokens may stand behind and inside one another in one expression or type.
const MAX_DEPTH: usize = 5_000;

/// What was found in a Rust file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rust {
    /// It parses.
    Parsed {
        /// How many functions have a body.
        functions: usize,
        /// The longest of them, the longest first.
        longest: Vec<Function>,
        /// How often the keyword `unsafe` stands in it.
        unsafes: usize,
        /// How often `.unwrap()` is called.
        unwraps: usize,
    },
    /// It doesn't, for this reason.
    Unparsed(String),
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`.
    pub(crate) line: usize,
    /// How many lines it has, from its `fn` to its closing brace.
    pub(crate) lines: usize,
}

/// Audits the text of a Rust file.
pub(crate) fn audit(text: &str) -> Rust {
    parse(text).unwrap_or_else(|error| {
        let LineColumn { line, .. } = error.span().start();
        Rust::Unparsed(format!("line {line}: {error}"))
    })
}

fn parse(text: &str) -> syn::Result<Rust> {
    let tokens: TokenStream = without_shebang(text).parse()?;
    let (unsafes, unwraps) = scan(tokens.clone())?;
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse2(tokens)?);
    let Functions(mut longest) = functions;
    let functions = longest.len();
    longest.sort_by_key(|function| std::cmp::Reverse(function.lines));
    longest.truncate(LONGEST);
    Ok(Rust::Parsed {
        functions,
        longest,
        unsafes,
        unwraps,
    })
}

/// Counts the keyword `unsafe` and the calls of `.unwrap()`, and refuses what nests too deep.
///
/// It looks at tokens rather than syntax: the arguments of macros, such as
/// `assert_eq!(x.unwrap(), 1)`, are nothing else yet.
fn scan(tokens: TokenStream) -> syn::Result<(usize, usize)> {
    let (mut unsafes, mut unwraps) = (0, 0);
    let mut streams = vec![(0, tokens)];
    while let Some((outside, stream)) = streams.pop() {
        let tokens: Vec<_> = stream.into_iter().collect();
        unsafes += (tokens.iter())
            .filter(|token| is_word(token, "unsafe"))
            .count();
        unwraps += tokens.windows(3).filter(|tokens| is_unwrap(tokens)).count();
        let mut depth = outside;
        for (at, token) in tokens.iter().enumerate() {
            depth += 1;
            if depth > MAX_DEPTH {
                let why = format!("more than {MAX_DEPTH} tokens in one expression");
                return Err(syn::Error::new(token.span(), why));
            }
            match token {
                TokenTree::Punct(punct) if [',', ';'].contains(&punct.as_char()) => depth = outside,
                TokenTree::Group(group) => {
                    streams.push((depth, group.stream()));
                    let goes_on = (tokens.get(at + 1)).is_some_and(|next| is_word(next, "else"));
                    if group.delimiter() == Delimiter::Brace && !goes_on {
                        depth = outside;
                    }
                }
                _ => {}
            }
        }
    }
    Ok((unsafes, unwraps))
}

/// Leaves out a `#!/…` line, but not its line break: lines keep their numbers.
fn without_shebang(text: &str) -> &str {
    match text.strip_prefix("#!") {
        Some(rest) if !rest.trim_start().starts_with('[') => {
            rest.find('\n').map_or("", |end| &rest[end..])
        }
        _ => text,
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_unwrap(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(dot), name, TokenTree::Group(arguments)] = tokens else {
        return false;
    };
    dot.as_char() == '.'
        && is_word(name, "unwrap")
        && arguments.delimiter() == Delimiter::Parenthesis
        && arguments.stream().is_empty()
}

/// The functions that have a body, nested ones and those of traits too.
#[derive(Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let line = signature.fn_token.span.start().line;
        let end = body.brace_token.span.close().end().line;
        self.0.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: end - line + 1,
        });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}
