// Asio's own code, compiled here once for all (BOOST_ASIO_SEPARATE_COMPILATION), and the little of
// Beast that is used.

#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/http/impl/status.ipp>
