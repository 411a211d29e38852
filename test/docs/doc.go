// Package docs tries the pages of docs/ that promise steps: it runs their own commands, in their
// order, on a deployment of terraform/live/local, and compares what they print with what the page
// says. It promises that a page whose commands or output have changed fails.
//
// What a page says to this package are comments before a fence:
//
//	<!-- tried -->            the sh fence behind it is run by bash, which one page's fences share, in
//	                          the repository's folder. Each line has to succeed. A text fence right
//	                          behind is what it prints: a line "..." stands for any lines, "..." in a
//	                          line for anything in it; spaces at the ends of lines do not count
//	<!-- tried: COMMAND -->   COMMAND is run, and not shown: what stands in for the machine around, as
//	                          the programs in stand-ins/ do for a kubelet
//	<!-- file: PATH -->       the fence behind it is what PATH has from there on
//	<!-- not tried: WHY -->   the sh fence behind it is not run
//
// In a page with such comments every sh fence needs one, so that none is left out by mistake.
//
// run.sh gives each page a machine of its own: a network, an /etc, a /srv and processes that no
// other process sees, and that are gone afterwards. The pages can so use the ports and folders
// that their readers use.
package docs
