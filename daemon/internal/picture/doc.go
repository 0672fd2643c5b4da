// Package picture is the daemon's page for a person: what the node has at one
// moment, as HTML with drawings in SVG. Of computes a View from the daemon's
// state, which is data; HTML writes it. The page needs no script, no other file and
// no other host, and changes nothing.
//
// It is written without html/template: that package calls methods by name, so the
// linker has to keep every method of every type, and vpc-ipamd, with the EC2 client in it,
// grows from 17 to 51 MB. In its place the type system keeps markup and text
// apart, see page.
package picture
