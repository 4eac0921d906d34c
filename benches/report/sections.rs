//! The parts of a page that a program writes: what is between `<!-- begin NAME -->` and `<!-- end NAME -->`.

/// The page with another body in one section; everything else stays as it is.
pub(crate) fn replace(page: &str, name: &str, body: &str) -> Result<String, String> {
    let (begin, end) = (
        format!("<!-- begin {name} -->"),
        format!("<!-- end {name} -->"),
    );
    let missing = |mark: &str| format!("the page has no {mark:?}: put it where the section goes");
    let (before, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        body.trim()
    ))
}
