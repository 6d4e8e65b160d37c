//! The faults of one block, collected so that all are reported in one go.

use proc_macro2::TokenStream;

#[derive(Default)]
pub(crate) struct Faults(Option<syn::Error>);

impl Faults {
    pub(crate) fn push(&mut self, fault: syn::Error) {
        match &mut self.0 {
            Some(earlier) => earlier.combine(fault),
            None => self.0 = Some(fault),
        }
    }

    /// Keeps the good value of `result`, or its fault.
    pub(crate) fn sift<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|fault| self.push(fault)).ok()
    }

    pub(crate) fn to_compile_errors(&self) -> TokenStream {
        self.0.as_ref().map(syn::Error::to_compile_error).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().flat_map(|all| all.clone().into_iter().map(|one| one.to_string())).collect()
    }
}
