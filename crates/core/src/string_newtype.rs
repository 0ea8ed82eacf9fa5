//! The implementations that all newtypes of a `String` share: the text itself, and its conversions. What a text must look like stays
//! with each type, in its `FromStr` or `new`.

/// Implements `as_str` and `Display` for a tuple struct of one `String`; with `unchecked`, also `new`, which takes any text; with
/// `parsed`, also the conversions from and to `String` that serde uses, of which the first one fails as the type's `FromStr` does.
#[macro_export]
macro_rules! string_newtype {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
    ($name:ident, unchecked) => {
        $crate::string_newtype!($name);

        impl $name {
            /// Takes the text as it is, without a check.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }
        }
    };
    ($name:ident, parsed) => {
        $crate::string_newtype!($name);

        impl TryFrom<String> for $name {
            type Error = <Self as ::std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}
