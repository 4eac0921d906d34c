//! Sections of a page are replaced, and nothing else.

use crate::report::sections::replace;

const PAGE: &str =
    "# A\n<!-- begin a -->\nold\n<!-- end a -->\ntext\n<!-- begin b --><!-- end b -->\n";

#[test]
fn only_the_section_changes() {
    let page = replace(PAGE, "a", "| new |").unwrap();
    let expected = PAGE.replace("\nold\n", "\n\n| new |\n\n");
    assert_eq!(page, expected);
    assert_eq!(
        replace(&page, "a", "| new |").unwrap(),
        page,
        "twice is once"
    );
    assert!(
        replace(&page, "b", "x")
            .unwrap()
            .contains("begin b -->\n\nx\n\n<!-- end b")
    );
}

#[test]
fn a_section_that_is_missing_is_an_error() {
    assert!(replace(PAGE, "c", "").unwrap_err().contains("begin c"));
    assert!(
        replace("<!-- begin a -->", "a", "")
            .unwrap_err()
            .contains("end a")
    );
}
