// Package docs keeps the documentation true: it runs what the pages show.
//
// # Words
//
// A page is README.md or a Markdown file below docs. A block is a fenced part
// of a page. A mark is an HTML comment right before a block; readers do not see
// it. A stage is where one page is played: an empty folder, free ports in place
// of those on the page, and what the page has started.
//
// # Rules
//
// Every yaml block is a whole configuration without a mistake, unless marked:
//
//	<!-- file: shop.yaml -->  it is also saved, for the commands that follow
//	<!-- mistake -->          it has a mistake (may follow a file mark)
//	<!-- not naru -->         it is something else
//
// Every console block has lines that begin with "$ ", each a command, and below
// a command what it prints. It is played from the top of the page:
//
//	<!-- run -->              the commands run one after another; a command
//	                          is repeated until it prints what the page says
//	<!-- start -->            the command goes on running in the background;
//	                          the page shows how its standard output begins
//	<!-- stop -->             "^C": what was started last is told to stop; the
//	                          page shows its standard error from then on
//	<!-- not run: WHY -->     it is not run
//
// In what is printed "..." stands for anything: alone on a line for any lines,
// within a line for any text. Blocks of other languages are not run.
//
// Ports of the page (3000, 8080, 9001, ...) are free ports while it is played,
// and echo (examples/echo) answers on those of 9001 to 9009 that the page
// mentions; on a page about orders.v1.Orders it is that service (examples/grpc),
// and orders.pb is there. The admin server's port, and the default one to listen on, are
// given to naru without being seen.
//
// Pages that are generated begin with <!-- generated -->; they are compared
// with what the binary says now. "make docs" writes them.
package docs
