//! Defines every event once: level, name, fields and text.

/// Defines [`EventKind`](super::EventKind) and what is derived from each event's one definition:
///
/// ```text
/// /// The variant's documentation.
/// LEVEL "name" Variant {
///     /// The field's documentation.
///     field: Type,
///     /// A field whose key in JSON is another: a duration says its unit.
///     field as "field_ms": Duration,
/// } => |f| write!(f, "the text; fields are in scope by reference");
/// ```
macro_rules! define_events {
    ($(
        $(#[$doc:meta])*
        $level:ident $name:literal $variant:ident $({
            $( $(#[$field_doc:meta])* $field:ident $(as $key:literal)? : $type:ty ),* $(,)?
        })? => |$f:ident| $text:expr;
    )*) => {
        /// What happened. `Display` gives the text for a person: a lower-case phrase.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum EventKind {
            $(
                $(#[$doc])*
                #[non_exhaustive]
                $variant $({ $( $(#[$field_doc])* $field: $type ),* })?
            ),*
        }

        impl EventKind {
            /// The names of all events, in the order of their documentation.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Returns the stable name that programs know the event by (`lane-up`).
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $name ),* }
            }

            /// Returns the level that the event is logged at.
            pub(super) fn level(&self) -> tracing::Level {
                match self { $( Self::$variant { .. } => tracing::Level::$level ),* }
            }

            /// Returns whether somebody should know of it soon: whether it is logged as a warning or an error.
            pub fn wants_attention(&self) -> bool {
                self.level() <= tracing::Level::WARN
            }

            /// Calls `record` with each field's key and value.
            fn record_fields(&self, record: &mut dyn FnMut(&'static str, FieldValue)) {
                match self {
                    $( Self::$variant { $( $( $field ),* )? } => {
                        $( $( $field.record(field_key!($field $($key)?), record); )* )?
                    } )*
                }
            }
        }

        impl std::fmt::Display for EventKind {
            #[allow(unused_variables, reason = "a text need not name every field")]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( Self::$variant { $( $( $field ),* )? } => {
                        let $f = f;
                        $text
                    } )*
                }
            }
        }
    };
}

/// A field's key in JSON: its name, unless the definition gives another.
macro_rules! field_key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}
