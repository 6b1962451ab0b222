//! Which image: what the spec says, on top of what runs already.

use crate::crd::ImageSpec;

/// The image, whole. What the spec leaves out is taken from `base`: a spec that only names a tag keeps the
/// repository, one that only names a repository (a mirror) keeps tag and digest.
#[must_use]
pub fn resolve(spec: &ImageSpec, base: &str) -> String {
    let (repository, version) = split(base);
    let repository = spec.repository.as_deref().unwrap_or(repository);
    let tag = spec.tag.as_deref().map(|tag| format!(":{tag}"));
    let digest = spec.digest.as_deref().map(|digest| format!("@{digest}"));
    match (tag, digest) {
        (None, None) => format!("{repository}{version}"),
        (tag, digest) => {
            format!("{repository}{}{}", tag.unwrap_or_default(), digest.unwrap_or_default())
        }
    }
}

/// Repository, and tag or digest with the character before it. A registry's port is no tag.
fn split(image: &str) -> (&str, &str) {
    let path = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[path..].find([':', '@']) {
        Some(at) => image.split_at(path + at),
        None => (image, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_spec_leaves_out_stays_as_it_is() {
        let base = "r.example:5000/cairn:1.2";
        #[rustfmt::skip]
        let table = [ // repository, tag, digest, what comes out, why
            (None, None, None, base, "nothing said, nothing changed"),
            (None, Some("1.3"), None, "r.example:5000/cairn:1.3", "the port is not the tag"),
            (Some("m/c"), None, None, "m/c:1.2", "a mirror of the same image"),
            (None, None, Some("sha256:ab"), "r.example:5000/cairn@sha256:ab", "the digest says it all"),
            (Some("m/c"), Some("1.3"), Some("sha256:ab"), "m/c:1.3@sha256:ab", "the tag is for people"),
        ];
        for (repository, tag, digest, image, why) in table {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let (repository, tag, digest) = (text(repository), text(tag), text(digest));
            let spec = ImageSpec { repository, tag, digest, ..ImageSpec::default() };
            assert_eq!(resolve(&spec, base), image, "{why}");
            assert_eq!(resolve(&spec, image), image, "resolved again: {why}");
        }
    }
}
