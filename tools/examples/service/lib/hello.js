'use strict';

var http = require('http');
var greeting = require('greeting');

http.createServer(function (req, res) {
    res.end(greeting() + '\n');
}).listen(80);
