// Package report writes what is known of an image as one HTML file that needs
// nothing else: no network, no script, no font. It follows the reader's choice of
// light or dark, can be read at the width of a telephone, and used with the
// keyboard alone.
//
// Everything about an image is text from outside. It reaches the page through
// html/template, with control and formatting characters written \ooo; links are
// made of http and https addresses only; and the page's own policy allows its
// style sheet and nothing more, so that even markup that came through would do
// nothing. The same image gives the same bytes.
//
// Limits: 80 tiles a map, 1000 rows a table; what is left out is counted.
package report
