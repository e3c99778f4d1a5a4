"""What shells trip over."""

SIGNS = "' \" $ % ^ & | < > ! \\ ` * ? ( ) { } ~ # ; \t \U0001f389 ünï\nsecond line"
