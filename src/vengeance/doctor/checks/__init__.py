"""What the doctor looks at, link by link; each look asks for facts and gives findings."""
