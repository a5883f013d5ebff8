"""`--advise`: which attention option stored results speak for, and what `auto` makes of them."""
