//! Divides a file into words, and tells code from text.

/// How a file's comments and strings begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// `//`, `/* */`, `"…"`, `r#"…"#`, lifetimes.
    Rust,
    /// `#`, `"…"`, `'…'`, three of either.
    Python,
    /// Text throughout.
    Prose,
}

/// What a word is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier of the program.
    Code,
    /// An identifier in text: the whole of a string or of a code span.
    Quoted,
    /// Part of a comment, a string or a document.
    Text,
}

/// A word: letters, digits and underscores, in text also hyphens between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    pub(super) text: String,
}

/// Returns the words of `text`.
pub(super) fn tokens(text: &str, language: Language) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    match language {
        Language::Prose => lexer.text_until(|_| None),
        Language::Rust | Language::Python => lexer.program(language),
    }
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn program(&mut self, language: Language) {
        while self.at < self.chars.len() {
            if self.comment(language) || self.string(language) {
                continue;
            }
            if self.chars[self.at].is_alphabetic() || self.chars[self.at] == '_' {
                self.word(Kind::Code);
            } else {
                self.step();
            }
        }
    }

    fn comment(&mut self, language: Language) -> bool {
        if language == Language::Python && self.starts_with("#")
            || language == Language::Rust && self.starts_with("//")
        {
            self.text_until(|lexer| lexer.starts_with("\n").then_some(0));
        } else if language == Language::Rust && self.starts_with("/*") {
            self.text_until(|lexer| lexer.starts_with("*/").then_some(2));
        } else {
            return false;
        }
        true
    }

    fn string(&mut self, language: Language) -> bool {
        let quotes = match language {
            Language::Python => ["\"\"\"", "'''", "\"", "'"].as_slice(),
            _ => ["\""].as_slice(),
        };
        if let Some(quote) = quotes.iter().find(|quote| self.starts_with(quote)) {
            self.skip(quote.len());
            self.text_until(|lexer| lexer.starts_with(quote).then_some(quote.len()));
            return true;
        }
        let hashes = self.chars[self.at..].iter().skip(1).take_while(|char| **char == '#').count();
        let is_raw = language == Language::Rust
            && self.chars[self.at] == 'r'
            && self.chars.get(self.at + 1 + hashes) == Some(&'"')
            && !self
                .at
                .checked_sub(1)
                .is_some_and(|at| is_word(self.chars[at]) && self.chars[at] != 'b');
        if is_raw {
            let end = format!("\"{}", "#".repeat(hashes));
            self.skip(2 + hashes);
            self.text_until(|lexer| lexer.starts_with(&end).then_some(end.len()));
        } else if language == Language::Rust && self.chars[self.at] == '\'' {
            self.char_or_lifetime();
        } else {
            return false;
        }
        true
    }

    /// Skips `'x'`, `'\n'`, `'\u{1}'` or `'lifetime`.
    fn char_or_lifetime(&mut self) {
        self.step();
        if self.chars.get(self.at) == Some(&'\\') {
            self.skip(2);
            while self.at < self.chars.len() && self.chars[self.at] != '\'' {
                self.step();
            }
            self.step();
        } else if self.chars.get(self.at + 1) == Some(&'\'') {
            self.skip(2);
        } else {
            while self.chars.get(self.at).is_some_and(|char| is_word(*char)) {
                self.step();
            }
        }
    }

    /// Takes text up to where `end` says how long the mark is that ends it.
    fn text_until(&mut self, end: impl Fn(&Self) -> Option<usize>) {
        while self.at < self.chars.len() {
            if let Some(length) = end(self) {
                self.skip(length);
                return;
            }
            match self.chars[self.at] {
                '\\' => self.skip(2),
                char if is_word(char) => self.word(Kind::Text),
                _ => self.step(),
            }
        }
    }

    fn word(&mut self, kind: Kind) {
        let (start, line) = (self.at, self.line);
        let joins = |lexer: &Self| {
            let next = lexer.chars.get(lexer.at + 1);
            kind == Kind::Text
                && lexer.chars[lexer.at] == '-'
                && next.is_some_and(|next| is_word(*next))
        };
        while self.at < self.chars.len() && (is_word(self.chars[self.at]) || joins(self)) {
            self.at += 1;
        }
        let mark = |at: Option<usize>| {
            at.and_then(|at| self.chars.get(at)).is_some_and(|char| matches!(char, '"' | '`'))
        };
        let is_quoted = kind == Kind::Text && mark(start.checked_sub(1)) && mark(Some(self.at));
        let kind = if is_quoted { Kind::Quoted } else { kind };
        self.tokens.push(Token { kind, line, text: self.chars[start..self.at].iter().collect() });
    }

    fn starts_with(&self, mark: &str) -> bool {
        mark.chars().enumerate().all(|(i, char)| self.chars.get(self.at + i) == Some(&char))
    }

    fn skip(&mut self, chars: usize) {
        for _ in 0..chars {
            self.step();
        }
    }

    fn step(&mut self) {
        if self.chars.get(self.at) == Some(&'\n') {
            self.line += 1;
        }
        self.at += 1;
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
