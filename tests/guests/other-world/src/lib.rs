//! A component of another world: a filter of something else.

wit_bindgen::generate!({
    inline: "
        package acme:filters@1.2.0;
        interface filter { accept: func(line: string) -> bool; }
        world filters { export filter; }
    ",
});

struct Filters;

impl exports::acme::filters::filter::Guest for Filters {
    fn accept(line: String) -> bool {
        !line.is_empty()
    }
}

export!(Filters);
