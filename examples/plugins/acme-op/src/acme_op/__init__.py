"""The op acme.Blend: two images mixed by a mask."""
